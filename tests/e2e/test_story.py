"""The main job, end to end, on real hosts; and for each step that it fails when the world is not as it should be.

Tests of this file run in order on one stack: what is altered is put back before the next one looks.
"""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from demo.__main__ import STEPS
from demo.steps import c_server, d_domain, e_second, f_mail, g_secrets, h_walls
from demo.steps.domains import live
from demo.steps.people import sign_up, token_of
from demo.story import new_password
from demo.world import until
from infra.local import processes
from tests.e2e.conftest import LEAVING, Told
from tests.e2e.going_on import attempt, evidence_of, failed, going_on, patient

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("step", [step.id for step in STEPS if step.id != LEAVING])
def test_step_of_the_story_holds(told: Told, step: str) -> None:
    assert step in told.outcomes, f"not told, since one before it failed: {list(told.outcomes)}"
    assert told.outcomes[step].ok, "\n".join(told.outcomes[step].proof)


def test_report_has_the_promised_shape(told: Told) -> None:
    report = json.loads((told.stack.layout.var / "report.json").read_text())
    assert [set(step) for step in report["steps"]] == [{"id", "title", "ok", "seconds", "proof"}] * 8
    assert set(report["timings"]) == {"setup_s", "paid_to_ready_s", "submit_to_imap_s"}
    assert len(report["timings"]["paid_to_ready_s"]) == 2


async def test_b_leaves_no_address_on_a_list(told: Told) -> None:
    async with going_on(told) as story:
        lists = await story.world.call("GET", "/dnsbl")
    assert [entry for one in lists for entry in one["entries"]] == []


async def test_c_fails_when_an_address_leads_back_to_somebody_else(told: Told) -> None:
    async with going_on(told) as story:
        reverse = next(a["name"] for a in evidence_of(told, "c")["dns"] if a["type"] == "PTR")
        planted = {"name": reverse, "type": "PTR"}
        await story.world.call("PUT", "/dns/records", {**planted, "values": ["elsewhere.test."]})
        try:
            checks = c_server.judge(json.loads(json.dumps(await c_server.ready(story, story.a), default=str)))
        finally:
            await story.world.call("PUT", "/dns/records", {**planted, "values": [story.a.hostname + "."]})
        assert failed(checks) == ["PTR of both addresses point back"]


async def test_d_fails_when_the_policy_in_dns_is_another(told: Told) -> None:
    async with going_on(told) as story:
        name = f"_dmarc.{story.a.domain}"
        planted = {"name": name, "type": "TXT", "values": ['"v=DMARC1; p=none"']}
        await story.world.call("PUT", "/dns/records", planted)
        try:
            checks = d_domain.judge(evidence_of(told, "d") | {"live": live(story, story.a)})
        finally:
            await story.world.call("DELETE", f"/dns/records?name={name}&type=TXT")
        assert failed(checks) == ["MX, SPF, DMARC, MTA-STS, TLS-RPT, SRV and autoconfig are live"]


async def test_e_fails_when_one_of_the_two_tlsa_records_is_missing(told: Told) -> None:
    async with going_on(told) as story:
        evidence = evidence_of(told, "e")
        server = evidence["ready"]["server"]
        name = f"_25._tcp.{story.b.hostname}"
        kept = next(a["values"] for a in evidence["ready"]["dns"] if a["type"] == "TLSA")
        await story.world.call("PUT", "/dns/records", {"name": name, "type": "TLSA", "values": kept[:1]})
        try:
            seen = c_server.names_of(story, story.b.hostname, server["ipv4"], server["ipv6"])
        finally:
            await story.world.call("DELETE", f"/dns/records?name={name}&type=TLSA")
        evidence["ready"]["dns"] = seen
        assert failed(e_second.judge(evidence)) == ["TLSA of the current and the next key, signed"]


async def test_f_fails_when_the_receiver_offers_nothing_to_verify(told: Told) -> None:
    async with going_on(told) as story:
        name = f"_25._tcp.{story.b.hostname}"
        useless = (
            "1 0 1 " + "00" * 32
        )  # PKIX-EE: not usable for SMTP (RFC 7672, 3.1.3), so nothing is verified
        await story.world.call("PUT", "/dns/records", {"name": name, "type": "TLSA", "values": [useless]})
        await f_mail.console(story, story.a, "postfix", "reload")
        try:
            again = await f_mail.delivered(story, "Hello to nobody in particular")
        finally:
            await story.world.call("DELETE", f"/dns/records?name={name}&type=TLSA")
            await f_mail.console(story, story.a, "postfix", "reload")
        checks = f_mail.judge(evidence_of(told, "f") | {"delivered": again})
        assert failed(checks) == ["A verified B by DANE"]


async def test_g_fails_when_what_was_done_does_not_reach_the_audit_log(told: Told) -> None:
    layout = told.stack.layout
    rows = told.stack.services().rows()
    projector = next(row for row in rows if row.name == "auth-worker")
    await asyncio.to_thread(processes.stop, layout, "auth-worker")
    try:
        async with going_on(told) as story:
            started = time.time()
            outcome = await attempt(story, "g", lambda: g_secrets.collect(story, since=started))
    finally:
        processes.start(layout, told.stack.services().process(projector))
        await trusted_again(told)
    assert outcome == "NeverHappened"


async def test_h_fails_when_the_stranger_is_no_stranger(told: Told) -> None:
    async with going_on(told) as story:
        invitation = {"email": story.a.email, "role": "member"}
        made = await story.b.api.expect(201, "POST", f"{story.b.path}/invitations", invitation)
        token = token_of(await patient(story).letter(story.a.email, "/invitation#"))
        await story.a.api.expect(200, "POST", "/v1/invitations/accept", {"token": token})
        story.member, _ = await sign_up(
            patient(story), "Nia", f"nia{time.time_ns()}@people.test", new_password()
        )
        try:
            checks = h_walls.judge(json.loads(json.dumps(await h_walls.collect(story))))
        finally:
            members = await story.b.api.items(f"{story.b.path}/members")
            ada = next(m["id"] for m in members if m["email"] == story.a.email)
            await story.b.api.expect(204, "DELETE", f"{story.b.path}/members/{ada}")
        assert made["id"]
        assert "so is B's workspace" in failed(checks)


async def trusted_again(told: Told) -> None:
    """Waits until the gateway hears auth again: until then it lets nobody change anything."""
    async with going_on(told) as story:

        async def look() -> bool | None:
            answer = await story.a.api.send("POST", f"{story.a.path}/invitations", {"email": "", "role": ""})
            return None if answer.status == 503 else True

        await until("the gateway to trust its map of members again", look, 30)
