"""The database is restored from a backup that is older than a server's machine: no other one is made beside it, and
what an operator adopts is proven again and goes on."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import delete, select, update

from services.provisioner.billing import grant
from services.provisioner.models import (
    CloudResource,
    Condition,
    Domain,
    Mailbox,
    Server,
    Subscription,
    SweepFinding,
)
from services.provisioner.operators.repository import stuck
from services.provisioner.ports import CloudUnavailable, PaymentSubscription
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.provisioner.adoption.backup import Backup
from tests.provisioner.adoption.forgetting import adopt, forget, forgotten, held, prove_zone, rows_of
from tests.provisioner.stage import ZONE, Stage

MAKING = (
    "create_instance",
    "reserve_ip",
    "create_security_group",
    "power_on",
    "power_off",
    "delete_instance",
)


def acts(stage: Stage) -> list[int]:
    """How often something was made, started, stopped or deleted."""
    return [stage.outside.cloud.calls[name] for name in MAKING]


async def swept(stage: Stage, times: int) -> list[SweepFinding]:
    """In earnest, with the quiet window and the quarantine shortened to nothing."""
    stage.settings.quiet_window_seconds = stage.settings.sweep_quarantine_seconds = 0
    sweeper = Sweeper(
        PostgresFindings(stage.database), stage.outside.cloud, stage.settings, stage.ports.catalogue
    )
    return [await sweeper.run() for _ in range(times)][-1]


async def test_after_a_restore_nothing_is_made_beside_the_machine_that_runs(
    stage: Stage, service_database: ServiceDatabases, tmp_path: Path
) -> None:
    server = await stage.paid()
    backup = await Backup.take(service_database("provisioner"), tmp_path)
    await stage.ready(server.id)
    own, done = stage.owned(), acts(stage)
    await backup.restore(stage)
    await stage.play(lambda: held(stage, server.id))
    await stage.due_now(server.id)
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    assert (stage.owned(), acts(stage)) == (own, done)
    async with stage.database.transaction() as session:
        shown = {row["condition"]: row for row in await stuck(session)}["Stalled"]
    assert shown["reason"] == "MadeBefore"
    assert shown["last_trouble"]["next_action"] == f"adopt {server.id}: see docs/runbooks/restore.md"
    assert [one["instance"] for one in shown["last_trouble"]["evidence"]["machines"]] == own["instance"]


async def test_adopted_it_is_in_service_again_with_its_name_its_domains_and_its_mailboxes(
    stage: Stage, service_database: ServiceDatabases, tmp_path: Path
) -> None:
    server = await stage.paid()
    await prove_zone(stage, server.workspace_id, "coming.test")
    backup = await Backup.take(service_database("provisioner"), tmp_path)
    await stage.ready(server.id)
    await stage.wish_for_domains(server.id)
    await stage.play(lambda: stage.domains_as_wished(server.id))
    before, own = await stage.server(server.id), stage.owned()
    (named, *_) = reversed(await stage.others.bus.emitted(ServerDnsDesired))
    await backup.restore(stage)
    await stage.play(lambda: held(stage, server.id))

    await adopt(stage, server.id)

    async def in_service() -> bool:
        async with stage.database.transaction() as session:
            box = await session.get(Mailbox, "mbx_1")
            name = await session.scalar(select(Domain.state).where(Domain.name == "coming.test"))
        return bool(box and box.state == "active" and name == "ready") and await stage.is_true(
            server.id, "HeldReleased"
        )

    await stage.play(in_service)
    after = await stage.server(server.id)
    assert stage.owned() == own
    assert stage.outside.cloud.powered.total() == stage.outside.host.installs_started[server.id] == 1
    assert (after.hostname, after.host_key) == (before.hostname, before.host_key)
    # Others refuse what is older than what they have seen, and no set of names was ever without the domain.
    told = await stage.others.bus.emitted(ServerDnsDesired)
    assert all(one.generation > named.generation for one in told)
    assert [[domain.name for domain in one.domains] for one in told] == [["coming.test"]] * len(told)
    assert {one.hostname for one in told} == {before.hostname}
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert stalled.status == "false"
    assert await swept(stage, 3) == []


async def test_a_database_from_before_the_payment_gives_the_server_its_id_again_and_so_finds_its_machine(
    stage: Stage, service_database: ServiceDatabases, tmp_path: Path
) -> None:
    workspace, subscription = new_id("ws"), new_id("sub")
    async with stage.database.transaction() as session:
        session.add(
            Subscription(
                id=subscription, workspace_id=workspace, plan="starter", zone="fr-par-1", status="pending",
                created_by=new_id("usr"), version=1,
            )
        )  # fmt: skip
    backup = await Backup.take(service_database("provisioner"), tmp_path)
    paid = PaymentSubscription(
        id="sub_stripe", status="active", customer_id="cus_1",
        metadata={"subscription_id": subscription, "workspace_id": workspace},
    )  # fmt: skip

    async def pay(look: int) -> Server:
        async with stage.database.transaction() as session:
            assert await grant.take_in(session, paid, look, ZONE, paid=True) == "granted"
            return (await session.scalars(select(Server))).one()

    first = await pay(1)
    await stage.ready(first.id)
    own = stage.owned()
    await backup.restore(stage)
    again = await pay(2)
    assert (again.id, again.hostname != first.hostname) == (first.id, True)
    await stage.play(lambda: held(stage, again.id))
    await adopt(stage, again.id)
    await stage.ready(again.id)
    assert stage.owned() == own
    assert (await stage.server(again.id)).hostname == first.hostname


async def test_a_machine_in_the_next_zone_of_the_region_holds_the_server_too(stage: Stage) -> None:
    stage.outside.cloud.stock_of["fr-par-1"] = {}
    server = await stage.paid()
    await stage.ready(server.id)
    own = stage.owned()
    assert (await stage.server(server.id)).zone == "fr-par-2"
    await forget(stage, server.id)
    async with stage.database.transaction() as session:
        await session.execute(update(Server).values(zone="fr-par-1"))
    del stage.outside.cloud.stock_of["fr-par-1"]
    await stage.play(lambda: held(stage, server.id))
    assert stage.owned() == own
    await adopt(stage, server.id)
    await stage.ready(server.id)
    assert (await stage.server(server.id)).zone == "fr-par-2"
    assert stage.owned() == own


async def test_while_the_cloud_does_not_say_what_it_has_nothing_is_made(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["list_instances"] = [CloudUnavailable("503")] * 4
    server = await stage.paid()
    await stage.engine.work_once()
    assert stage.owned() == {"instance": [], "ip": [], "volume": [], "security_group": []}
    await stage.ready(server.id)


async def test_the_sweeper_leaves_what_a_held_server_has_and_shows_it(stage: Stage) -> None:
    server = await forgotten(stage)
    own = stage.owned()
    await stage.play(lambda: held(stage, server.id))
    found = await swept(stage, 6)
    assert {(row.external_id, row.state) for row in found} == {
        (key, "seen") for keys in own.values() for key in keys
    }
    assert stage.owned() == own


async def test_books_that_have_the_addresses_and_not_the_machine_start_no_second_one(stage: Stage) -> None:
    """The backup is from between: another instance is made, stopped, and the look before its start finds the first."""
    server = await stage.paid()
    await stage.ready(server.id)
    (first,), powered = stage.owned()["instance"], dict(stage.outside.cloud.powered)
    await forget_machine(stage, server.id)

    async def bound_to_none() -> bool:
        found = await stage.condition(server.id, "InstanceBound")
        return found is not None and found.reason == "MadeBefore"

    await stage.play(bound_to_none)
    assert len(stage.owned()["instance"]) == 2
    assert stage.outside.cloud.powered == powered
    await adopt(stage, server.id)
    await stage.ready(server.id)
    assert (await rows_of(stage, server.id))["bound"].count(first) == 1
    await swept(stage, 6)
    assert {kind: len(keys) for kind, keys in stage.owned().items()} == {
        "instance": 1, "ip": 2, "volume": 1, "security_group": 1,
    }  # fmt: skip
    assert stage.owned()["instance"] == [first]
    assert stage.outside.cloud.powered == powered


async def forget_machine(stage: Stage, server_id: str) -> None:
    """Rows of instance and disk are lost, and what was found out since they were written."""
    kept = ("PlaceChosen", "AddressesReserved", "ReputationClean", "SecurityGroupReady")
    async with stage.database.transaction() as session:
        await session.execute(delete(CloudResource).where(CloudResource.kind.in_(("instance", "volume"))))
        await session.execute(delete(Condition).where(Condition.type.not_in(kept)))
        row = await session.get_one(Server, server_id)
        row.ever_ready, row.ready_at, row.install_run_id, row.facts = False, None, None, None
        row.host_key, row.host_key_own, row.next_at = None, False, row.created_at
