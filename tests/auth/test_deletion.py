"""The end of a workspace, with its receipts."""

from __future__ import annotations

import time

from shared.contracts import dns_events, provisioner_events
from shared.contracts.auth_events import (
    ApiKeyRevoked,
    MembershipChanged,
    WorkspaceDeleted,
    WorkspaceDeletionRequested,
)
from shared.contracts.vault_events import WorkspaceShredded
from tests.auth.stage import Person, Stage


async def ask(
    auth: Stage, owner: Person, workspace_id: str, name: str = "Mill", **claims: object
) -> tuple[int, str]:
    answer = await auth.client.request(
        "DELETE",
        f"/v1/workspaces/{workspace_id}",
        json={"confirm_name": name},
        headers=auth.as_user(owner.id, workspace_id, **claims),
    )
    return answer.status_code, answer.json().get("code", answer.json().get("state"))


async def receipts(auth: Stage, person: Person, workspace_id: str) -> dict[str, object]:
    answer = await auth.client.get(f"/v1/workspaces/{workspace_id}/deletion", headers=auth.as_user(person.id))
    return dict(answer.json())


async def test_an_end_needs_the_typed_name_and_a_fresh_sign_in(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    assert await ask(auth, owner, workspace_id, "mill") == (422, "name_mismatch")
    old = int(time.time()) - 301
    assert await ask(auth, owner, workspace_id, auth_time=old) == (401, "step_up_required")
    assert await ask(auth, owner, workspace_id) == (202, "deleting")
    assert await ask(auth, owner, workspace_id) == (202, "deleting")
    requested = [event.workspace_id for event in await auth.bus.emitted(WorkspaceDeletionRequested)]
    assert requested.count(workspace_id) == 1


async def test_who_was_owner_when_the_gateway_looked_and_is_not_any_more_ends_nothing(auth: Stage) -> None:
    owner, other = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, other)
    handed_over = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/transfer",
        json={"member_id": await auth.member_id(workspace_id, other)},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert handed_over.status_code == 200
    assert await ask(auth, owner, workspace_id) == (403, "forbidden")
    assert await ask(auth, other, workspace_id) == (202, "deleting")


async def test_rights_end_at_once_and_the_asker_stays_to_the_end(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    headers = auth.as_user(owner.id, workspace_id)
    key = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "k", "scopes": ["servers:read"]},
        headers=headers,
    )
    await ask(auth, owner, workspace_id)
    assert key.json()["id"] in [event.key_id for event in await auth.bus.emitted(ApiKeyRevoked)]
    gone = [
        (event.account_id, event.role)
        for event in await auth.bus.emitted(MembershipChanged)
        if event.workspace_id == workspace_id
    ]
    assert (guest.id, None) in gone
    assert (owner.id, None) not in gone
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": "late@people.test"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 409


async def test_it_is_over_when_both_have_given_back_what_they_held(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await ask(auth, owner, workspace_id)
    await auth.bus.deliver(dns_events.WorkspaceEmptied(workspace_id=workspace_id))
    assert (await receipts(auth, owner, workspace_id))["state"] == "deleting"
    await auth.bus.deliver(provisioner_events.WorkspaceEmptied(workspace_id=workspace_id))
    await auth.bus.deliver(provisioner_events.WorkspaceEmptied(workspace_id=workspace_id))
    deleted = [event.workspace_id for event in await auth.bus.emitted(WorkspaceDeleted)]
    assert deleted.count(workspace_id) == 1
    await auth.bus.deliver(WorkspaceShredded(workspace_id=workspace_id, data_keys=2, secrets=5))
    end = await receipts(auth, owner, workspace_id)
    assert end["state"] == "deleted"
    assert end["data_keys_shredded"] == 2
    assert all(receipt["at"] for receipt in end["receipts"])  # type: ignore[attr-defined]
    assert (await auth.client.get("/v1/workspaces", headers=auth.as_user(owner.id))).json()["items"] == []
    assert (await ask(auth, owner, workspace_id))[0] == 404


async def test_only_the_asker_sees_the_receipts(auth: Stage) -> None:
    owner, stranger = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await ask(auth, owner, workspace_id)
    assert (await receipts(auth, stranger, workspace_id))["code"] == "not_found"


async def test_receipts_for_a_workspace_that_nobody_ended_change_nothing(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.bus.deliver(dns_events.WorkspaceEmptied(workspace_id=workspace_id))
    await auth.bus.deliver(provisioner_events.WorkspaceEmptied(workspace_id=workspace_id))
    mine = await auth.client.get("/v1/workspaces", headers=auth.as_user(owner.id))
    assert [item["state"] for item in mine.json()["items"]] == ["active"]
