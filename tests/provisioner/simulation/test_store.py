"""What the reconciler may rely on from its store: the same for PostgreSQL and for the one in memory."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Protocol

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError, NoResultFound

from services.provisioner.models import Address, CloudResource, Condition, Domain, Server, Subscription
from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.lease import Lease, LostLease
from services.provisioner.reconciler.postgres import PostgresStore
from services.provisioner.reconciler.store import Held, Known, Store
from services.provisioner.reconciler.strangers import MADE_BEFORE
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Findings, Sighting
from shared.contracts.provisioner_events import ServerDeleted
from shared.db.kit_tables import audit_entry
from shared.ids import new_id
from tests.provisioner.simulation.memory import MemoryStore
from tests.provisioner.simulation.memory_findings import MemoryFindings
from tests.provisioner.simulation.walk import MemoryBooks
from tests.provisioner.stage import Stage


class Ground(Protocol):
    """A store, and what the rest of the service does to the same rows."""

    store: Store
    findings: Findings

    async def buy(self) -> str: ...
    async def wake(self, server_id: str) -> None: ...
    async def run_out(self) -> None:
        """The leases of all servers are over."""
        ...

    async def server(self, server_id: str) -> Server: ...
    async def events(self) -> list[Any]: ...
    async def audited(self) -> list[str]: ...


class InMemory:
    def __init__(self) -> None:
        self._store = MemoryStore(asyncio.get_running_loop().time)
        self._books = MemoryBooks(self._store)
        self.store: Store = self._store
        self.findings: Findings = MemoryFindings(self._store)

    async def buy(self) -> str:
        return await self._books.buy()

    async def wake(self, server_id: str) -> None:
        self._store.due_now(server_id)

    async def run_out(self) -> None:
        for row in self._store.rows(Server):
            self._store.change(Server, row.id, lease_until=self._store.now() - timedelta(seconds=1))

    async def server(self, server_id: str) -> Server:
        found = self._store.row(Server, server_id)
        assert found is not None
        return found

    async def events(self) -> list[Any]:
        return [event for event, _, _ in self._store.events]

    async def audited(self) -> list[str]:
        return self._store.audited


class InPostgres:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.store: Store = PostgresStore(stage.database)
        self.findings: Findings = PostgresFindings(stage.database)

    async def buy(self) -> str:
        return (await self._stage.paid()).id

    async def wake(self, server_id: str) -> None:
        async with self._stage.database.transaction() as session:
            await leases.wake(session, server_id)

    async def run_out(self) -> None:
        async with self._stage.database.transaction() as session:
            await session.execute(update(Server).values(lease_until=func.now() - timedelta(seconds=1)))

    async def server(self, server_id: str) -> Server:
        return await self._stage.server(server_id)

    async def events(self) -> list[Any]:
        return await self._stage.others.bus.emitted(ServerDeleted)

    async def audited(self) -> list[str]:
        async with self._stage.database.transaction() as session:
            rows = select(audit_entry.c.action).where(audit_entry.c.action.like("%server%"))
            return list(await session.scalars(rows))


@pytest.fixture(params=["memory", "postgres"])
async def ground(request: pytest.FixtureRequest, stage: Stage) -> Ground:
    return InMemory() if request.param == "memory" else InPostgres(stage)


async def claimed(ground: Ground, owner: str = "w", seconds: float = 30.0) -> Lease:
    lease = await ground.store.claim(owner, seconds)
    assert lease is not None
    return lease


async def known(ground: Ground, lease: Lease) -> Known:
    async with ground.store.hold(lease) as held:
        return await held.load()


def resource(held: Held, **values: Any) -> CloudResource:
    row = CloudResource(**{
        "id": new_id("res"), "workspace_id": held.server.workspace_id, "server_id": held.server.id, "kind": "ip",
        "slot": "v4-1", "zone": "fr-par-1", "attempt": 1, "request": {}, "state": "intent",
        "intent_at": held.server.created_at, **values,
    })  # fmt: skip
    held.session.add(row)
    return row


async def added(ground: Ground, lease: Lease, **values: Any) -> None:
    async with ground.store.hold(lease) as held:
        resource(held, **values)
        await held.session.flush()


async def test_a_claimed_server_is_nobody_else_s(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    assert (lease.server_id, lease.fence) == (server_id, 1)
    assert await ground.store.claim("other", 30.0) is None


async def test_a_released_server_rests_as_long_as_was_said(ground: Ground) -> None:
    await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        await held.release(3600)
    assert await ground.store.claim("w", 30.0) is None


async def test_a_server_that_was_released_for_no_time_is_due_at_once_and_not_woken(ground: Ground) -> None:
    await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        await held.release(0)
    again = await claimed(ground)
    assert (again.fence, again.woken) == (2, False)


async def test_a_wake_during_a_pass_is_not_slept_through(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    await ground.wake(server_id)
    async with ground.store.hold(lease) as held:
        await held.release(3600)
    assert (await claimed(ground)).woken


async def test_a_wake_between_passes_is_told_to_the_next(ground: Ground) -> None:
    server_id = await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        await held.release(3600)
    await ground.wake(server_id)
    assert (await claimed(ground)).woken


async def test_a_lease_that_ran_out_is_taken_over_and_the_first_worker_is_out(ground: Ground) -> None:
    await ground.buy()
    first = await claimed(ground)
    await ground.run_out()
    second = await claimed(ground, "other")
    assert second.fence == first.fence + 1
    with pytest.raises(LostLease):
        await known(ground, first)
    with pytest.raises(LostLease):
        await ground.store.renew(first)
    await known(ground, second)


async def test_a_lease_that_ran_out_holds_nothing_even_without_a_takeover(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    await ground.run_out()
    with pytest.raises(LostLease):
        await known(ground, lease)
    with pytest.raises(LostLease):
        await ground.store.renew(lease)


async def test_a_renewed_lease_lasts_from_then_on(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    before = (await ground.server(server_id)).lease_until
    await asyncio.sleep(0.01)
    await ground.store.renew(lease)
    after = (await ground.server(server_id)).lease_until
    assert before is not None
    assert after is not None
    assert after > before
    assert 29 < lease.remaining() <= 30


async def test_what_is_written_is_known_in_the_same_transaction_and_after_it(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        row = resource(held)
        held.server.names_generation = 7
        await held.session.flush()
        assert await held.session.get_one(CloudResource, row.id) is row
        inside = await held.load()
    after = await known(ground, lease)
    for one in (inside, after):
        assert [(item.id, item.state) for item in one.resources] == [(row.id, "intent")]
        assert one.server.names_generation == 7


async def test_an_exception_leaves_nothing_behind(ground: Ground) -> None:
    server_id = await ground.buy()
    lease = await claimed(ground)
    event = ServerDeleted(workspace_id=new_id("ws"), server_id=server_id, hostname="x.test")

    async def broken() -> None:
        async with ground.store.hold(lease) as held:
            resource(held)
            held.server.names_generation = 7
            await held.emit(event, subject="s", version=9)
            await held.audit("provisioner.server.deleted")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    after = await known(ground, lease)
    assert (after.resources, after.server.names_generation) == ([], 0)
    assert await ground.events() == []
    assert await ground.audited() == []


async def test_events_and_audit_rows_come_with_the_commit(ground: Ground) -> None:
    server_id = await ground.buy()
    workspace_id = new_id("ws")
    async with ground.store.hold(await claimed(ground)) as held:
        for name in ("a.test", "b.test"):
            await held.emit(
                ServerDeleted(workspace_id=workspace_id, server_id=server_id, hostname=name),
                subject="s",
                version=9,
            )
        await held.audit("provisioner.server.deleted")
    assert [event.hostname for event in await ground.events()] == ["a.test", "b.test"]
    assert await ground.audited() == ["provisioner.server.deleted"]


async def test_what_a_pass_knows_does_not_change_under_it(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        row = resource(held)
    before = await known(ground, lease)
    async with ground.store.hold(lease) as held:
        (await held.session.get_one(CloudResource, row.id)).state = "bound"
    assert before.resources[0].state == "intent"
    assert (await known(ground, lease)).resources[0].state == "bound"


async def test_a_deleted_row_is_gone_and_its_kind_is_not_found(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        held.session.add(
            Domain(
                id="dom_1", workspace_id=held.server.workspace_id, server_id=held.server.id, zone_id="z",
                name="a.test", state="pending", generation=1, dkim_rsa_selector="r", dkim_ed25519_selector="e",
                mta_sts_id="1",
            )
        )  # fmt: skip
    async with ground.store.hold(lease) as held:
        await held.session.delete(await held.session.get_one(Domain, "dom_1"))
        await held.session.flush()
        assert (await held.load()).domains == []
    async with ground.store.hold(lease) as held:
        assert await held.session.get(Domain, "dom_1") is None
        with pytest.raises(NoResultFound):
            await held.session.get_one(Domain, "dom_1")


async def test_a_slot_has_one_living_row(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        row = resource(held)
    with pytest.raises(IntegrityError):
        await added(ground, lease)
    async with ground.store.hold(lease) as held:
        (await held.session.get_one(CloudResource, row.id)).state = "gone"
        await held.session.flush()
        resource(held)
    assert [one.state for one in (await known(ground, lease)).resources] == ["gone", "intent"]


async def test_one_thing_at_the_cloud_has_one_row(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        resource(held, external_id="ip-1", state="bound")
    with pytest.raises(IntegrityError):
        await added(ground, lease, slot="v4-2", external_id="ip-1", state="bound")


async def test_columns_that_nobody_set_have_their_defaults(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        row = resource(held)
        await held.session.flush()
        held.session.add(
            Address(
                id="adr_1", workspace_id=held.server.workspace_id, server_id=held.server.id, resource_id=row.id,
                family=4, attempt=1, address="198.51.100.1", state="checking",
            )
        )  # fmt: skip
    async with ground.store.hold(lease) as held:
        found = await held.session.get_one(Address, "adr_1")
        assert (found.listings, found.clean, found.version, found.checked_version) == ([], [], 1, 0)
        assert abs((found.asked_at - lease.claimed_at).total_seconds()) < 60


async def test_conditions_are_known_by_their_type(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        for kind in ("Ready", "Running"):
            held.session.add(
                Condition(
                    server_id=held.server.id, type=kind, workspace_id=held.server.workspace_id, status="unknown",
                    reason="New", last_transition_at=lease.claimed_at, since=lease.claimed_at,
                )
            )  # fmt: skip
    async with ground.store.hold(lease) as held:
        (await held.session.get_one(Condition, (held.server.id, "Ready"))).status = "true"
    found = (await known(ground, lease)).conditions
    assert {kind: row.status for kind, row in found.items()} == {"Ready": "true", "Running": "unknown"}


async def test_a_subscription_ends_with_a_new_version(ground: Ground) -> None:
    await ground.buy()
    lease = await claimed(ground)
    async with ground.store.hold(lease) as held:
        row = await held.session.get_one(Subscription, held.server.subscription_id)
        await held.change_status(row, "ended")
    found = (await known(ground, lease)).subscription
    assert (found.status, found.version) == ("ended", 3)


async def test_a_deleted_server_is_never_claimed_again(ground: Ground) -> None:
    server_id = await ground.buy()
    async with ground.store.hold(await claimed(ground)) as held:
        held.server.deleted_at = held.server.created_at
        await held.announce_if_empty()
        await held.session.flush()
        await held.release(0)
    await ground.wake(server_id)
    assert await ground.store.claim("w", 30.0) is None


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
