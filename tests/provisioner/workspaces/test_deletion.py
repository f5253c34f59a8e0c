"""A workspace that leaves takes its servers with it, and says when nothing is left."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from services.provisioner.models import Domain, Job, Server, StepLog, Subscription
from shared.contracts.auth_events import WorkspaceDeleted, WorkspaceDeletionRequested
from shared.contracts.provisioner_events import ServerDeleted, WorkspaceEmptied
from tests.provisioner.api import Api


async def request(api: Api, times: int = 1) -> None:
    for _ in range(times):
        await api.stage.others.bus.deliver(WorkspaceDeletionRequested(workspace_id=api.workspace_id))


async def emptied(api: Api) -> int:
    return len(await api.stage.others.bus.emitted(WorkspaceEmptied))


async def test_an_empty_workspace_is_answered_at_once_and_once(api: Api) -> None:
    await request(api, 3)
    assert await emptied(api) == 1


async def test_every_server_is_cancelled_and_the_answer_comes_after_the_last(api: Api) -> None:
    first = await api.ready_server()
    second = (await api.stage.paid(workspace_id=api.workspace_id)).id
    bystander = (await api.stage.paid()).id
    await request(api)
    assert await emptied(api) == 0
    await api.stage.gone(first)
    await api.stage.gone(second)
    assert await emptied(api) == 1
    assert {event.server_id for event in await api.stage.others.bus.emitted(ServerDeleted)} == {first, second}
    assert (await api.stage.server(bystander)).desired == "present"


async def test_nothing_new_can_be_bought_while_leaving(api: Api) -> None:
    await request(api)
    reply = await api.post(f"{api.path}/subscriptions", {"plan": "starter", "zone": "fr-par-1"})
    assert (reply.status_code, reply.json()["code"]) == (409, "workspace_ending")


async def test_an_open_checkout_is_refused_from_then_on(api: Api) -> None:
    made = (await api.post(f"{api.path}/subscriptions", {"plan": "starter", "zone": "fr-par-1"})).json()
    await request(api)
    assert (await api.get(f"{api.path}/subscriptions/{made['id']}")).json()["status"] == "refused"


async def test_after_the_deletion_no_row_is_left(api: Api) -> None:
    server_id = await api.ready_server()
    await request(api)
    await api.stage.gone(server_id)
    await api.stage.others.bus.deliver(WorkspaceDeleted(workspace_id=api.workspace_id))
    async with api.stage.database.transaction() as session:
        for table in (Server, Subscription, StepLog, Job, Domain):
            assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_rows_of_what_still_exists_at_the_cloud_are_not_thrown_away(api: Api) -> None:
    server_id = await api.ready_server()
    with pytest.raises(RuntimeError, match=server_id):
        await api.stage.others.bus.deliver(WorkspaceDeleted(workspace_id=api.workspace_id))
    assert (await api.stage.server(server_id)).id == server_id
