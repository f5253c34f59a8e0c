"""Reboot, rescue and rebuild of a real server, ordered by its owner over the public API while the story stands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from demo.steps import c_server, f_mail, servers
from demo.story import Story
from tests.e2e import orders
from tests.e2e.conftest import Told
from tests.e2e.going_on import evidence_of, failed, going_on, patient

pytestmark = pytest.mark.stack

Found = TypeVar("Found")


def acted(told: Told, act: Callable[[Story], Awaitable[Found]]) -> Found:
    async def act_now() -> Found:
        async with going_on(told) as story:
            return await act(patient(story))

    return asyncio.run(act_now())


@pytest.fixture(scope="module")
def reboot(told: Told) -> orders.Change:
    return acted(told, orders.rebooted)


@pytest.fixture(scope="module")
def rebuild(told: Told) -> orders.Rebuild:
    return acted(told, orders.rebuilt)


def not_verified(told: Told, change: orders.Change) -> list[str]:
    """What does not hold of the letters sent after it: DANE, DKIM, SPF, DMARC, arrival."""
    rest = evidence_of(told, "f")
    return [what for letter in change.letters for what in failed(f_mail.judge(rest | {"delivered": letter}))]


def test_a_reboot_starts_the_same_machine_once_more(reboot: orders.Change) -> None:
    assert reboot.steps == dict.fromkeys(("boot", "self_test", "observe", "ready"), "ok")
    assert reboot.after.boot_id != reboot.before.boot_id
    assert (reboot.after.books, reboot.after.disk) == (reboot.before.books, reboot.before.disk)


def test_after_a_reboot_the_server_is_proven_again_and_mail_flows(told: Told, reboot: orders.Change) -> None:
    assert failed(c_server.ready_checks(reboot.evidence)) == []
    assert not_verified(told, reboot) == []


async def test_the_rescue_system_has_the_servers_disk_and_mail_waits_elsewhere_until_a_reboot(
    told: Told, reboot: orders.Change
) -> None:
    async with going_on(told) as story:
        b = patient(story).b
        await orders.order(b, "rescue")
        job = await servers.wait_job(b.api, b, b.job_id)
        machine, state = await orders.Machine.of(story, b), await orders.state(b)
        assert await orders.rescue_system_is_up(story, b)
        mail = await f_mail.console(story, b, "grep", "-rl", "Subject: After the reboot", "/mnt/var/vmail")
        await orders.write_to_b(story)
        back = await orders.rebooted(story, "After the rescue")
        waited = await orders.read_by_b(story)
        kept = await (await story.post()).subjects(f_mail.pair(story)[1])
    assert (orders.steps(job), state) == ({"boot": "ok"}, "rescue")
    assert f"/{b.domain}/" in mail
    assert (machine.books, machine.disk) == (reboot.after.books, reboot.after.disk)
    assert len({each.boot_id for each in (reboot.after, machine, back.after)}) == 3
    assert waited == orders.TEXT
    assert "Hello from A" in kept
    assert failed(c_server.ready_checks(back.evidence)) == []


async def test_a_mistyped_name_rebuilds_nothing(told: Told) -> None:
    async with going_on(told) as story:
        b = story.b
        before = await orders.Machine.of(story, b)
        wish = {"confirm_name": story.a.hostname, "mail_is_lost": True, "reason": "it was broken into"}
        reply = await b.api.send("POST", f"{b.path}/servers/{b.server_id}/rebuild", wish)
        assert (reply.status, reply.json["code"]) == (422, "confirm_name_mismatch")
        assert (await orders.state(b), await orders.Machine.of(story, b)) == ("ready", before)


def test_a_rebuild_makes_another_machine_and_disk_and_leaves_nothing_of_the_old(
    rebuild: orders.Rebuild,
) -> None:
    before, after = rebuild.before, rebuild.after
    made_anew = {
        "retire_instance",
        "create_instance",
        "user_data",
        "power_on",
        "ssh_trust",
        "install",
        "ready",
    }
    assert made_anew <= set(rebuild.steps)
    assert set(rebuild.steps.values()) == {"ok"}
    assert {kind: len(ids) for kind, ids in after.books.items()} == {
        "servers": 1, "ips": 2, "volumes": 1, "security_groups": 1,
    }  # fmt: skip
    assert not set(after.books["servers"]) & set(before.books["servers"])
    assert before.disk not in rebuild.volumes
    assert after.disk in rebuild.volumes


def test_a_rebuilt_server_has_its_name_and_addresses_and_keys_of_its_own(rebuild: orders.Rebuild) -> None:
    server, shown = rebuild.evidence["server"], rebuild.shown
    assert failed(c_server.ready_checks(rebuild.evidence)) == []
    assert [server[name] for name in ("hostname", "ipv4", "ipv6")] == [
        shown[name] for name in ("hostname", "ipv4", "ipv6")
    ]
    assert rebuild.after.books["ips"] == rebuild.before.books["ips"]
    assert server["ssh_host_key_sha256"] != shown["ssh_host_key_sha256"]
    assert {each["purpose"] for each in rebuild.plan["creates"]} == {"dkim-rsa", "dkim-ed25519"}


async def test_after_a_rebuild_the_old_passwords_open_empty_mailboxes_and_what_was_sent_meanwhile_arrives(
    told: Told, rebuild: orders.Rebuild
) -> None:
    """The API says so: all mail on the disk is lost."""
    async with going_on(told) as story:
        waited = await orders.read_by_b(patient(story))
    assert all(set(subjects) <= {orders.MEANWHILE} for subjects in rebuild.kept)
    assert len(rebuild.kept) == 2
    assert waited == orders.TEXT


def test_after_a_rebuild_mail_flows_verified_both_ways_and_webmail_opens(
    told: Told, rebuild: orders.Rebuild
) -> None:
    assert not_verified(told, rebuild) == []
    assert rebuild.webmail["signed_in"]
