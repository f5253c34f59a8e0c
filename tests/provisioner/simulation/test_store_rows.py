"""What is written under a lease: the same for the store in PostgreSQL and for the one in memory."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, NoResultFound

from services.provisioner.models import Address, CloudResource, Condition, Domain, Subscription
from services.provisioner.reconciler.lease import Lease
from shared.contracts.provisioner_events import ServerDeleted
from shared.ids import new_id
from tests.provisioner.simulation.ground import Ground, claimed, known, resource


async def added(ground: Ground, lease: Lease, **values: Any) -> None:
    async with ground.store.hold(lease) as held:
        resource(held, **values)
        await held.session.flush()


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
