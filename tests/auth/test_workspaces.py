"""Workspaces, members and the wall between workspaces."""

from __future__ import annotations

from shared.contracts.auth_events import MembershipChanged, WorkspaceCreated
from shared.ids import new_id
from tests.auth.stage import Stage


async def test_who_makes_a_workspace_owns_it(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner, "Windmill")
    mine = await auth.client.get("/v1/workspaces", headers=auth.as_user(owner.id))
    assert [(item["id"], item["role"], item["name"]) for item in mine.json()["items"]] == [
        (workspace_id, "owner", "Windmill")
    ]
    assert workspace_id in [event.workspace_id for event in await auth.bus.emitted(WorkspaceCreated)]


async def test_a_repeated_creation_makes_one_workspace(auth: Stage) -> None:
    owner = await auth.person()
    headers = auth.as_user(owner.id)
    first = await auth.client.post("/v1/workspaces", json={"name": "Once"}, headers=headers)
    second = await auth.client.post("/v1/workspaces", json={"name": "Once"}, headers=headers)
    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert (
        await auth.client.post("/v1/workspaces", json={"name": "Two"}, headers=headers)
    ).status_code == 422


async def test_pages_follow_each_other_without_gap(auth: Stage) -> None:
    owner = await auth.person()
    made = [await auth.workspace(owner, f"W{number}") for number in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await auth.client.get("/v1/workspaces", params=query, headers=auth.as_user(owner.id))).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made


async def test_a_foreign_workspace_and_an_unknown_one_are_the_same_to_the_database(auth: Stage) -> None:
    """The gateway would stop these; here the caller's identity says his own workspace and the path another."""
    mine, other = await auth.person(), await auth.person()
    own, foreign = await auth.workspace(mine), await auth.workspace(other)
    headers = auth.as_user(mine.id, own)
    answers = [
        await auth.client.get(f"/v1/workspaces/{identifier}/members", headers=headers)
        for identifier in (foreign, new_id("ws"))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content


async def test_a_member_of_another_workspace_cannot_be_removed(auth: Stage) -> None:
    mine, other = await auth.person(), await auth.person()
    own, foreign = await auth.workspace(mine), await auth.workspace(other)
    members = await auth.client.get(
        f"/v1/workspaces/{foreign}/members", headers=auth.as_user(other.id, foreign)
    )
    theirs = members.json()["items"][0]["id"]
    answers = [
        await auth.client.delete(
            f"/v1/workspaces/{own}/members/{identifier}", headers=auth.as_user(mine.id, own)
        )
        for identifier in (theirs, new_id("mem"), "mem_nonsense")
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert len({answer.content for answer in answers}) == 1


async def test_a_removed_member_is_out_and_the_gateways_hear_it(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person("Guest")
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    headers = auth.as_user(owner.id, workspace_id)
    members = (await auth.client.get(f"/v1/workspaces/{workspace_id}/members", headers=headers)).json()[
        "items"
    ]
    member = next(item for item in members if item["account_id"] == guest.id)
    answer = await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/members/{member['id']}", headers=headers
    )
    assert answer.status_code == 204
    assert (await auth.client.get("/v1/workspaces", headers=auth.as_user(guest.id))).json()["items"] == []
    events = [event for event in await auth.bus.emitted(MembershipChanged) if event.account_id == guest.id]
    assert [event.role for event in events] == ["member", None]


async def test_the_last_owner_stays(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    headers = auth.as_user(owner.id, workspace_id)
    members = (await auth.client.get(f"/v1/workspaces/{workspace_id}/members", headers=headers)).json()[
        "items"
    ]
    answer = await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/members/{members[0]['id']}", headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


async def test_an_admin_does_not_remove_an_owner(auth: Stage) -> None:
    owner, admin = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    headers = auth.as_user(admin.id, workspace_id, role="admin")
    members = (await auth.client.get(f"/v1/workspaces/{workspace_id}/members", headers=headers)).json()[
        "items"
    ]
    target = next(item for item in members if item["role"] == "owner")
    answer = await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/members/{target['id']}", headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "above_own_role")


async def test_numbers_of_the_authority_stream_have_no_gaps(auth: Stage) -> None:
    import asyncio

    people = [await auth.person() for _ in range(3)]
    await asyncio.gather(*(auth.workspace(person) for person in people for _ in range(5)))
    sequences = sorted(
        envelope.data["sequence"]
        for envelope in await auth.bus.envelopes()
        if envelope.type
        in ("auth.membership.changed.v1", "auth.session.revoked.v1", "auth.api_key.revoked.v1")
    )
    assert sequences == list(range(1, len(sequences) + 1))
