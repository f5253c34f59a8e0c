"""The end: B leaves; then the first steps fail in a world that is not as it should be, and stays so."""

from __future__ import annotations

import ssl
import time

import httpx
import pytest

from demo.steps import a_sign_up, b_buy, i_leave
from demo.story import Story, tell
from tests.e2e.conftest import Told
from tests.e2e.going_on import attempt, evidence_of, failed, going_on, patient

pytestmark = pytest.mark.stack


async def test_leaving_holds(told: Told) -> None:
    async with going_on(told) as story:
        outcome = await tell(patient(story), i_leave.STEP)
    told.outcomes[outcome.id] = outcome
    assert outcome.ok, "\n".join(outcome.proof)


async def test_i_fails_when_an_address_is_left_behind(told: Told) -> None:
    async with going_on(told) as story:
        b, evidence = story.b, evidence_of(told, "i")
        leftover = {"type": "routed_ipv4", "project": story.world.endpoints["scaleway_project_id"]}
        await at_the_cloud(story, b.zone, leftover | {"tags": [f"sc-srv:{b.server_id}"]})
        evidence["after"] = await i_leave.ours(story, b.hostname, b.server_id, b.domain)
        assert failed(i_leave.judge(evidence)) == ["instance, volume, addresses and security group are gone"]


async def test_a_fails_when_mail_is_not_sent(told: Told) -> None:
    async with going_on(told) as story:
        story.a.email = f"late{time.time_ns()}@people.test"
        await story.world.call(
            "PUT", "/faults/resend", {"operation": "emails.send", "kind": "error_before", "count": 1000}
        )
        try:
            assert await attempt(story, "a", lambda: a_sign_up.collect(story)) == "NeverHappened"
        finally:
            await story.world.call("DELETE", "/faults/resend")


async def test_b_fails_when_the_payment_is_not_told_to_us(told: Told) -> None:
    async with going_on(told) as story:
        await story.world.call("PUT", "/stripe/webhook", {"url": "https://127.0.0.1:9/nowhere"})
        assert await attempt(story, "b", lambda: b_buy.collect(story)) == "NeverHappened"


async def at_the_cloud(story: Story, zone: str, address: dict[str, object]) -> None:
    """Reserves an address as somebody with access to the cloud's console could. Its answer may get lost."""
    endpoints = story.world.endpoints
    headers = {"X-Auth-Token": endpoints["scaleway_secret_key"]}
    context = ssl.create_default_context(cafile=endpoints["ca_file"])
    async with httpx.AsyncClient(verify=context, headers=headers) as client:
        await client.post(f"{endpoints['scaleway']}/instance/v1/zones/{zone}/ips", json=address)
