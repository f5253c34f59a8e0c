"""A domain goes to another server: keys there first, then the records change over, and it is never without them."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
from sqlalchemy import select

from services.provisioner.models import Domain, Mailbox
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.domains.test_domains import NAME, finish, proven, settled

STEPS = [
    "apply_domain", "copy_mail", "publish_domain", "close_domain", "copy_rest", "open_mailboxes",
    "domain_certificate",
]  # fmt: skip


async def move(api: Api, domain_id: str, server_id: str) -> httpx.Response:
    return await api.post(f"{api.path}/domains/{domain_id}/move", {"server_id": server_id})


async def test_a_moved_domain_has_new_keys_and_records_on_the_new_server(api: Api) -> None:
    source, domain_id = await settled(api)
    target = await api.ready_server()
    before = (await api.get(f"{api.path}/domains/{domain_id}")).json()
    seen = len(await api.stage.others.bus.emitted(ServerDnsDesired))
    reply = await move(api, domain_id, target)
    assert reply.status_code == 202, reply.text
    job = await finish(api, reply.json()["job_id"])
    assert [step["name"] for step in job["steps"]] == STEPS
    after = (await api.get(f"{api.path}/domains/{domain_id}")).json()
    assert (after["server_id"], after["state"], after["name"]) == (target, "ready", NAME)
    old = {key["selector"] for key in before["dkim"]}
    assert old.isdisjoint({key["selector"] for key in after["dkim"]})

    async def left() -> bool:
        last = [
            one for one in await api.stage.others.bus.emitted(ServerDnsDesired) if one.server_id == source
        ][-1]
        return not last.domains

    await api.stage.play(left)
    new = {key["selector"] for key in after["dkim"]}

    async def published() -> list[set[str]]:
        sets = (await api.stage.others.bus.emitted(ServerDnsDesired))[seen:]
        return [
            {key.selector for domain in one.domains for key in domain.dkim}
            for one in sets
            if one.server_id == target and one.domains
        ]

    async def only_new() -> bool:
        return (await published())[-1] == new

    await api.stage.play(only_new)
    desired = api.stage.outside.host.machines[source].desired
    assert desired is not None
    assert desired.domains == ()
    assert (await published())[0] == new | old, "what the old server has signed is on its way still"


async def test_until_the_new_server_has_keys_the_old_one_publishes(api: Api) -> None:
    source, domain_id = await settled(api)
    target = await api.ready_server()
    api.stage.outside.host.fail["apply"] = []
    await move(api, domain_id, target)
    async with api.stage.database.transaction() as session:
        row = await session.get_one(Domain, domain_id)
        assert (row.server_id, row.moving_from, row.state) == (target, source, "moving")
        assert row.dkim, "the keys of the old server stay known while its records are published"
    gone_without_successor = []
    for _ in range(200):
        await api.stage.others.step()
        await api.stage.engine.work_once()
        sets = await api.stage.others.bus.emitted(ServerDnsDesired)
        latest = {one.server_id: {domain.name for domain in one.domains} for one in sets}
        async with api.stage.database.transaction() as session:
            row = await session.get_one(Domain, domain_id)
        if NAME not in latest[source] | latest.get(target, set()):
            gone_without_successor.append(latest)
        if row.state == "ready":
            break
    assert gone_without_successor == []
    assert row.state == "ready"


async def test_the_new_server_s_plan_limits_what_can_be_moved_to_it(api: Api) -> None:
    _, domain_id = await settled(api)
    target = await api.ready_server()
    for letter in "xyz":
        await proven(api, f"full-{letter}.test")
        await api.post(f"{api.path}/domains", {"server_id": target, "name": f"full-{letter}.test"})
    reply = await move(api, domain_id, target)
    assert (reply.status_code, reply.json()["code"]) == (409, "plan_limit")


async def test_of_many_that_move_a_domain_one_does(api: Api) -> None:
    _, domain_id = await settled(api)
    targets = [await api.ready_server(), await api.ready_server()]
    replies = await asyncio.gather(*(move(api, domain_id, targets[n % 2]) for n in range(6)))
    assert Counter(reply.status_code for reply in replies) == {202: 1, 409: 5}
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"domain_busy"}


async def test_nothing_moves_to_the_same_or_to_a_stranger_s_server(api: Api) -> None:
    source, domain_id = await settled(api)
    stranger = await api.stage.paid(workspace_id=new_id("ws"))
    await api.stage.ready(stranger.id)
    assert (await move(api, domain_id, source)).json()["code"] == "domain_busy"
    assert (await move(api, domain_id, stranger.id)).status_code == 404
    assert (await move(api, new_id("dom"), source)).status_code == 404


async def test_of_a_move_and_a_new_mailbox_at_once_no_mailbox_is_left_behind(api: Api) -> None:
    source, domain_id = await settled(api)
    target = await api.ready_server()
    path = f"{api.path}/domains/{domain_id}/mailboxes"
    moved, *made = await asyncio.gather(
        move(api, domain_id, target), *(api.post(path, {"local_part": f"box{n}"}) for n in range(5))
    )
    async with api.stage.database.transaction() as session:
        rows = (await session.scalars(select(Mailbox))).all()
        domain = await session.get_one(Domain, domain_id)
    assert {row.server_id for row in rows} <= {source}
    assert len(rows) == Counter(reply.status_code for reply in made)[202]
    assert moved.status_code == 202
    assert domain.server_id == target
    await finish(api, moved.json()["job_id"])
    async with api.stage.database.transaction() as session:
        rows = (await session.scalars(select(Mailbox))).all()
    assert {row.server_id for row in rows} <= {target}
