"""What may be adopted, by whose word, and what is refused; a refusal changes nothing."""

from __future__ import annotations

import asyncio
import re

import pytest
from sqlalchemy import func, update

from services.provisioner.adoption.machine import NotAdoptable
from services.provisioner.adoption.service import Adoption
from services.provisioner.hosts.port import HostUnreachable
from services.provisioner.models import Address, CloudResource, Condition, Server, Subscription
from services.provisioner.ports import CloudUnavailable
from shared.contracts.provisioner_events import ProvisionerAuditRecorded
from tests.provisioner.adoption.forgetting import (
    OPERATOR,
    adopt,
    count,
    forget,
    forgotten,
    held,
    order,
    prove_zone,
    rows_of,
    shown,
)
from tests.provisioner.owned import ONE_OF_EACH, counts
from tests.provisioner.stage import Stage

OTHER = "srv_00000000000070008000000000000000"


async def test_a_look_shows_what_would_be_adopted_and_changes_nothing(stage: Stage) -> None:
    server = await forgotten(stage)
    looked = await Adoption(stage.database, stage.ports).look(order(server.id))
    host, *parts = looked
    assert (host["hostname"], host["trust"], host["shows"]) == (
        server.hostname,
        "none",
        shown(stage, server.id),
    )
    assert "--host-key" in host["next_action"]
    assert {(row["kind"], row["id"], row["outcome"]) for row in parts} == {
        (kind, key, "would be adopted") for kind, keys in stage.owned().items() for key in keys
    }
    assert await count(stage, CloudResource) == 0
    assert (await stage.server(server.id)).hostname != server.hostname


async def test_what_is_adopted_is_written_with_its_operator_into_the_audit_log(stage: Stage) -> None:
    server = await forgotten(stage)
    await adopt(stage, server.id)
    recorded = await stage.others.bus.emitted(ProvisionerAuditRecorded)
    (entry,) = [one for one in recorded if one.action == "provisioner.server.adopted"]
    assert (entry.actor_kind, entry.actor_id, entry.target) == ("system", "operator", server.id)
    assert entry.data == {
        "operator": OPERATOR, "instance": stage.owned()["instance"][0], "trust": "confirmed",
        "host_key": shown(stage, server.id),
    }  # fmt: skip


async def test_a_key_that_nobody_has_confirmed_is_not_enough(stage: Stage) -> None:
    server = await forgotten(stage)
    calls = stage.outside.host.calls.copy()
    with pytest.raises(NotAdoptable, match=re.escape(shown(stage, server.id))):
        await adopt(stage, server.id, host_key=None)
    assert await count(stage, CloudResource) == 0
    assert stage.outside.host.calls - calls == {"shown_key": 1}


async def test_another_key_than_the_confirmed_one_is_refused_and_nothing_is_sent_to_the_host(
    stage: Stage,
) -> None:
    server = await forgotten(stage)
    calls = stage.outside.host.calls.copy()
    with pytest.raises(NotAdoptable, match="Nothing was sent to it"):
        await adopt(stage, server.id, host_key="SHA256:" + "A" * 43)
    assert stage.outside.host.calls - calls == {"shown_key": 1}
    assert await count(stage, CloudResource) == 0


async def test_a_machine_that_still_shows_the_one_time_key_needs_nobody_s_word(stage: Stage) -> None:
    stage.outside.host.fail["first_contact"] = [HostUnreachable("booting") for _ in range(1000)]
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Running"))
    own = stage.owned()
    await forget(stage, server.id)
    stage.outside.host.fail.clear()
    await adopt(stage, server.id, host_key=None)
    await stage.ready(server.id)
    assert stage.owned() == own
    assert stage.outside.cloud.powered.total() == 1
    assert (await stage.server(server.id)).host_key_own


async def test_a_rebuild_makes_another_machine_behind_the_same_addresses(stage: Stage) -> None:
    server = await forgotten(stage)
    old = stage.owned()
    await adopt(stage, server.id, rebuild=server.hostname)
    await stage.ready(server.id)
    new = stage.owned()
    assert (new["ip"], new["security_group"]) == (old["ip"], old["security_group"])
    assert not set(new["instance"] + new["volume"]) & set(old["instance"] + old["volume"])
    assert counts(stage) == ONE_OF_EACH
    now = await stage.server(server.id)
    assert (now.hostname, now.incarnation) == (server.hostname, 2)


async def test_a_rebuild_needs_the_whole_name(stage: Stage) -> None:
    server = await forgotten(stage)
    with pytest.raises(NotAdoptable, match=re.escape(server.hostname)):
        await adopt(stage, server.id, rebuild=server.label)
    assert await count(stage, CloudResource) == 0


async def test_what_is_on_another_server_s_books_is_refused(stage: Stage) -> None:
    server, other = await forgotten(stage), await stage.paid()
    ip = stage.owned()["ip"][0]
    async with stage.database.transaction() as session:
        session.add(
            CloudResource(
                id="res_other", workspace_id=other.workspace_id, server_id=other.id, kind="ip", slot="v4-1",
                zone=other.zone, attempt=1, request={}, state="bound", external_id=ip, intent_at=func.now(),
            )
        )  # fmt: skip
    with pytest.raises(NotAdoptable, match=f"{ip} is on the books of {other.id}"):
        await adopt(stage, server.id)
    assert await rows_of(stage, server.id) == {}


async def test_a_domain_of_the_host_whose_zone_is_not_known_as_proven_is_refused(stage: Stage) -> None:
    """Adopted without it, the host would be told to drop it."""
    server = await stage.paid()
    await stage.ready(server.id)
    await stage.wish_for_domains(server.id)
    await stage.play(lambda: stage.domains_as_wished(server.id))
    await forget(stage, server.id)
    await prove_zone(stage, "ws_another", "coming.test")
    with pytest.raises(NotAdoptable, match=r"coming\.test is on the host"):
        await adopt(stage, server.id)
    assert await count(stage, CloudResource) == 0


async def test_of_several_machines_one_has_to_be_named(stage: Stage) -> None:
    server = await forgotten(stage)
    (first,) = stage.owned()["instance"]
    await forget(stage, server.id)
    thing = stage.outside.cloud.things[first]
    twin = stage.outside.cloud._create(
        thing.zone,
        "instance",
        (*thing.tags[:3], "sc-res:res_0", "sc-att:1"),
        {**thing.data, "state": "stopped"},
    )
    with pytest.raises(NotAdoptable, match=f"{first} .*{twin.id} .*--machine"):
        await adopt(stage, server.id)
    await adopt(stage, server.id, host_key=shown(stage, server.id), machine=first)
    assert first in (await rows_of(stage, server.id))["bound"]


async def test_of_operators_who_adopt_at_once_one_does_it(stage: Stage) -> None:
    server = await forgotten(stage)
    done = await asyncio.gather(*(adopt(stage, server.id) for _ in range(4)), return_exceptions=True)
    refused = [one for one in done if isinstance(one, NotAdoptable)]
    assert (len(done) - len(refused), len(refused)) == (1, 3)
    assert sorted((await rows_of(stage, server.id))["bound"]) == sorted(
        key for keys in stage.owned().values() for key in keys
    )
    assert await count(stage, Address) == 2
    await stage.ready(server.id)


async def test_while_a_worker_holds_the_server_nothing_is_adopted(stage: Stage) -> None:
    server = await forgotten(stage)
    assert await stage.engine.claim() is not None
    with pytest.raises(NotAdoptable, match="at work"):
        await adopt(stage, server.id)
    assert await count(stage, CloudResource) == 0


async def test_after_a_refusal_the_server_is_given_back_at_once(stage: Stage) -> None:
    server = await forgotten(stage)
    for trouble in (CloudUnavailable("503"), RuntimeError("a defect")):
        stage.outside.cloud.faults.refuse["list_ips"] = [trouble]  # type: ignore[list-item]
        with pytest.raises((NotAdoptable, RuntimeError)):
            await adopt(stage, server.id)
        assert (await stage.server(server.id)).lease_owner is None


@pytest.mark.parametrize("state", ["ready", "cancelled", "unpaid", "unknown"])
async def test_only_a_paid_server_without_a_machine_can_adopt_one(stage: Stage, state: str) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    key = shown(stage, server.id)
    if state == "cancelled":
        await stage.cancel(server.id)
    if state == "unpaid":
        await forget(stage, server.id)
        async with stage.database.transaction() as session:
            await session.execute(update(Subscription).values(status="ended"))
    before = await count(stage, CloudResource)
    with pytest.raises(NotAdoptable):
        await adopt(stage, OTHER if state == "unknown" else server.id, host_key=key)
    assert await count(stage, CloudResource) == before


async def test_a_machine_that_calls_itself_somebody_else_is_refused(stage: Stage) -> None:
    server = await forgotten(stage)
    (machine,) = stage.outside.cloud.living("instance")
    machine.data["name"] = "mail.customer.example"
    with pytest.raises(NotAdoptable):
        await adopt(stage, server.id)
    assert await count(stage, Condition) == 0
    assert await held_again(stage, server)


async def held_again(stage: Stage, server: Server) -> bool:
    await stage.play(lambda: held(stage, server.id))
    return True
