"""Cancelling, at any moment: nothing is left, at the cloud or in DNS."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from services.provisioner.models import Subscription
from services.provisioner.ports import CloudBusy, CloudNotFound, CloudUnavailable
from services.provisioner.reconciler.plan import PRESENT
from shared.contracts.provisioner_events import AddressReleased, ServerDeleted, ServerDnsDesired
from tests.provisioner.stage import Stage

BY_ORDER = ("leave_zone", "retire_instance", "boot", "own_system")
"""Steps with nothing to do unless somebody orders a restart, a rebuild or another place."""
NOTHING: dict[str, list[str]] = {"instance": [], "ip": [], "volume": [], "security_group": []}


async def test_a_ready_server_leaves_nothing_behind(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING
    assert (await stage.others.bus.emitted(ServerDnsDesired))[-1].withdrawn
    assert len(await stage.others.bus.emitted(AddressReleased)) == 2
    assert [event.server_id for event in await stage.others.bus.emitted(ServerDeleted)] == [server.id]
    async with stage.database.transaction() as session:
        subscription = (await session.scalars(select(Subscription))).one()
    assert subscription.status == "ended"
    assert stage.outside.billing.ended[str(subscription.stripe_subscription_id)] == 1


async def test_names_go_before_the_addresses_they_lead_to(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    stage.others.silent = True
    await stage.cancel(server.id)

    async def withdrawing() -> bool:
        found = await stage.condition(server.id, "NamesWithdrawn")
        return found is not None and found.reason == "AwaitingWithdrawal"

    await stage.play(withdrawing)
    assert len(stage.owned()["ip"]) == 2
    stage.others.silent = False
    stage.others.unread.seen -= 1
    await stage.gone(server.id)


@pytest.mark.parametrize("step", [step.name for step in PRESENT[:23] if step.name not in BY_ORDER])
async def test_cancelled_at_any_step_nothing_is_left(stage: Stage, step: str) -> None:
    stage.settings.passes_per_claim = 1
    server = await stage.paid()

    async def begun() -> bool:
        return any(row.step == step for row in await stage.log(server.id))

    await stage.play(begun)
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING


@pytest.mark.parametrize("kind", ["ip", "security_group", "instance"])
async def test_cancelled_while_a_create_is_unknown_the_late_one_is_deleted_too(
    stage: Stage, kind: str
) -> None:
    faults = stage.outside.cloud.faults
    faults.lost[kind], faults.late = 1, 0.3
    server = await stage.paid()

    async def unknown() -> bool:
        return bool(faults.lost[kind] == 0)

    await stage.play(unknown)
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING
    assert not stage.outside.cloud.pending


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("delete_instance", CloudUnavailable("504")),
        ("delete_volume", CloudNotFound("404")),
        ("release_ip", CloudBusy("409")),
        ("release_ip", CloudNotFound("404")),
        ("delete_security_group", CloudUnavailable("504")),
        ("power_off", CloudBusy("409")),
        ("set_reverse", CloudNotFound("404")),
        ("list_instances", CloudUnavailable("504")),
    ],
)
async def test_trouble_while_deleting_is_outlived(stage: Stage, method: str, error: Exception) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    stage.outside.cloud.faults.refuse[method] = [error]  # type: ignore[list-item]
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING


async def test_a_disk_that_is_still_being_detached_is_waited_for(stage: Stage) -> None:
    stage.outside.cloud.faults.detaching = 0.8
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING


async def test_what_turns_up_after_everything_was_deleted_is_deleted_too(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.cancel(server.id)
    stage.settings.passes_per_claim = 1

    async def at_the_end() -> bool:
        return any(row.step == "tombstone" for row in await stage.log(server.id))

    await stage.play(at_the_end)
    cloud, tags = stage.outside.cloud, (f"sc-srv:{server.id}",)
    await cloud.reserve_ip("fr-par-1", 4, tags)
    await cloud.create_security_group("fr-par-1", "late", tags)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING


async def test_a_disk_and_an_address_that_nobody_booked_are_found_by_their_tag(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    cloud, tags = stage.outside.cloud, (f"sc-srv:{server.id}",)
    await cloud.reserve_ip("fr-par-1", 6, tags)
    await cloud.create_security_group("fr-par-1", "second", tags)
    await stage.cancel(server.id)
    await stage.gone(server.id)
    assert stage.owned() == NOTHING
