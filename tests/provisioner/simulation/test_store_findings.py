"""The sweeper's findings: the same in PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from services.provisioner.models import Condition
from services.provisioner.reconciler.strangers import MADE_BEFORE
from services.provisioner.sweeper import Sighting
from tests.provisioner.simulation.ground import Ground, claimed, resource


def sighting(key: str, row: str = "res_0") -> Sighting:
    return Sighting("ip", "fr-par-1", key, ("sendchief", "sc-env:test", f"sc-res:{row}"))


async def test_what_is_bound_or_awaited_is_owned(ground: Ground) -> None:
    await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        resource(held, external_id="bound", state="bound")
        awaited = resource(held, slot="v4-2", state="unknown")
        planned = resource(held, slot="v4-3", state="planned")
    seen = [sighting("bound"), sighting("late", awaited.id), sighting("x", planned.id), sighting("y")]
    assert await ground.findings.unowned(seen) == seen[2:]


async def test_a_finding_is_seen_twice_then_held_then_due_then_deleted(ground: Ground) -> None:
    findings, zones = ground.findings, ["fr-par-1"]
    await findings.note([sighting("a"), sighting("b")], zones)
    assert await findings.quarantine(0) == []
    await findings.note([sighting("a")], zones)
    assert await findings.quarantine(3600) == []
    assert [row.external_id for row in await findings.quarantine(0)] == ["a"]
    assert await findings.due(3600, 5) == []
    assert await findings.due(0, 0) == []
    (due,) = await findings.due(0, 5)
    assert [row.external_id for row in await findings.open()] == ["a"]
    await findings.deleted(due.id)
    assert await findings.open() == []


async def test_what_was_cleared_or_deleted_and_is_there_again_is_judged_anew(ground: Ground) -> None:
    findings, zones = ground.findings, ["fr-par-1"]
    for _ in range(2):
        await findings.note([sighting("a"), sighting("b")], zones)
    await findings.quarantine(0)
    await findings.note([sighting("a")], zones)  # a list may leave things out
    (a,) = await findings.due(0, 5)
    await findings.deleted(a.id)
    await findings.note([sighting("a"), sighting("b")], zones)
    assert [(row.state, row.seen) for row in await findings.open()] == [("seen", 1)] * 2
    assert await findings.quarantine(0) == []


async def test_a_zone_that_was_not_looked_at_clears_nothing(ground: Ground) -> None:
    await ground.findings.note([sighting("a")], ["fr-par-1"])
    await ground.findings.note([], ["nl-ams-1"])
    assert [row.external_id for row in await ground.findings.open()] == ["a"]


@pytest.mark.parametrize("quarantined", [False, True])
async def test_what_a_held_server_has_is_shown_and_neither_quarantined_nor_due(
    ground: Ground, quarantined: bool
) -> None:
    server_id, findings = await ground.buy(), ground.findings
    theirs = Sighting("ip", "fr-par-1", "b", (*sighting("b").tags, f"sc-srv:{server_id}"))
    for _ in range(2):
        await findings.note([sighting("a"), theirs], ["fr-par-1"])
    if quarantined:
        assert len(await findings.quarantine(0)) == 2
    async with ground.store.hold(await claimed(ground)) as held:
        held.session.add(
            Condition(
                server_id=server_id, type="AddressesReserved", workspace_id=held.server.workspace_id,
                status="false", reason=MADE_BEFORE, message="", observed_generation=0,
                last_transition_at=held.server.created_at, since=held.server.created_at, attempt=1,
                failures=1, evidence={},
            )
        )  # fmt: skip
    if not quarantined:
        assert [row.external_id for row in await findings.quarantine(0)] == ["a"]
    assert [row.external_id for row in await findings.due(0, 5)] == ["a"]
    assert {row.external_id for row in await findings.open()} == {"a", "b"}


async def test_one_sweeps_at_a_time(ground: Ground) -> None:
    async with ground.findings.leading() as first, ground.findings.leading() as second:
        assert (first, second) == (True, False)
    async with ground.findings.leading() as third:
        assert third
