"""Roles, leaving and handing over: always an owner, and nobody acts above his own rank."""

from __future__ import annotations

import asyncio
import time

import httpx

from services.auth.models import ApiKey, Invitation
from shared.contracts.auth_events import ApiKeyRevoked, MembershipChanged
from shared.identity import HEADER, mint_internal
from tests.auth.stage import Person, Stage


async def set_role(
    auth: Stage,
    actor: Person,
    workspace_id: str,
    target: Person,
    role: str,
    acting: str = "owner",
    if_match: str | None = "*",
) -> httpx.Response:
    member_id = await auth.member_id(workspace_id, target)
    headers = auth.as_user(actor.id, workspace_id, role=acting)
    return await auth.client.patch(
        f"/v1/workspaces/{workspace_id}/members/{member_id}",
        json={"role": role},
        headers=headers if if_match is None else {**headers, "If-Match": if_match},
    )


async def remove(
    auth: Stage, actor: Person, workspace_id: str, member_id: str, acting: str = "owner"
) -> httpx.Response:
    return await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/members/{member_id}",
        headers=auth.as_user(actor.id, workspace_id, role=acting),
    )


async def leave(auth: Stage, actor: Person, workspace_id: str) -> httpx.Response:
    return await auth.client.post(
        f"/v1/workspaces/{workspace_id}/leave", headers=auth.as_user(actor.id, workspace_id)
    )


async def transfer(
    auth: Stage, actor: Person, workspace_id: str, target: Person, your_role: str = "admin", ago: int = 0
) -> httpx.Response:
    member_id = await auth.member_id(workspace_id, target)
    return await auth.client.post(
        f"/v1/workspaces/{workspace_id}/transfer",
        json={"member_id": member_id, "your_role": your_role},
        headers=auth.as_user(actor.id, workspace_id, auth_time=int(time.time()) - ago),
    )


async def company(auth: Stage) -> tuple[Person, Person, Person, str]:
    """Owner, admin and member of one workspace."""
    owner, admin, member = [await auth.person() for _ in range(3)]
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    await auth.join(owner, workspace_id, member)
    return owner, admin, member, workspace_id


async def test_a_changed_role_is_heard_by_the_gateways(auth: Stage) -> None:
    owner, _, member, workspace_id = await company(auth)
    answer = await set_role(auth, owner, workspace_id, member, "admin")
    assert (answer.status_code, answer.json()["role"]) == (200, "admin")
    events = [event for event in await auth.bus.emitted(MembershipChanged) if event.account_id == member.id]
    assert [event.role for event in events] == ["member", "admin"]


async def test_a_role_is_changed_by_who_has_seen_its_last_version(auth: Stage) -> None:
    owner, admin, member, workspace_id = await company(auth)
    listed = await auth.client.get(
        f"/v1/workspaces/{workspace_id}/members", headers=auth.as_user(owner.id, workspace_id)
    )
    seen = next(item["version"] for item in listed.json()["items"] if item["account_id"] == member.id)
    blind = await set_role(auth, owner, workspace_id, member, "admin", if_match=None)
    first = await set_role(auth, owner, workspace_id, member, "admin", if_match=f'"{seen}"')
    late = await set_role(auth, admin, workspace_id, member, "member", "admin", if_match=f'"{seen}"')
    again = await set_role(auth, admin, workspace_id, member, "member", "admin", first.headers["etag"])
    assert [answer.status_code for answer in (blind, first, late, again)] == [428, 200, 412, 200]
    assert (await auth.roles(workspace_id))[member.id] == "member"


async def test_of_many_who_change_a_role_after_the_same_look_one_does(auth: Stage) -> None:
    owner, _, member, workspace_id = await company(auth)
    answers = await asyncio.gather(
        *(set_role(auth, owner, workspace_id, member, "admin", if_match='"1"') for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9


async def test_nobody_becomes_owner_but_by_a_transfer(auth: Stage) -> None:
    owner, _, member, workspace_id = await company(auth)
    assert (await set_role(auth, owner, workspace_id, member, "owner")).status_code == 422


async def test_an_admin_promotes_a_member_and_does_not_touch_an_owner(auth: Stage) -> None:
    owner, admin, member, workspace_id = await company(auth)
    assert (await set_role(auth, admin, workspace_id, member, "admin", "admin")).status_code == 200
    answer = await set_role(auth, admin, workspace_id, owner, "member", "admin")
    assert (answer.status_code, answer.json()["code"]) == (403, "above_own_role")


async def test_what_the_gateway_said_of_a_role_counts_no_more_once_it_is_lost(auth: Stage) -> None:
    """A request that was let through as owner arrives after the demotion."""
    owner, admin, member, workspace_id = await company(auth)
    assert (await set_role(auth, member, workspace_id, admin, "member", "owner")).status_code == 403
    assert (await transfer(auth, admin, workspace_id, member)).status_code == 403
    stranger = await auth.person()
    assert (await set_role(auth, stranger, workspace_id, member, "admin", "owner")).status_code == 404
    assert (await auth.roles(workspace_id))[owner.id] == "owner"


async def test_of_two_owners_who_demote_each_other_at_once_one_stays(auth: Stage) -> None:
    one, two = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(one)
    await auth.co_owner(one, workspace_id, two)
    for _ in range(8):
        answers = await asyncio.gather(
            set_role(auth, one, workspace_id, two, "admin"), set_role(auth, two, workspace_id, one, "admin")
        )
        assert sorted(answer.status_code for answer in answers) == [200, 403]
        roles = await auth.roles(workspace_id)
        assert sorted(roles.values()) == ["admin", "owner"]
        still, other = (one, two) if roles[one.id] == "owner" else (two, one)
        assert (await transfer(auth, still, workspace_id, other, "owner")).status_code == 200


async def test_of_owners_who_all_leave_at_once_the_last_one_stays(auth: Stage) -> None:
    owners = [await auth.person() for _ in range(5)]
    workspace_id = await auth.workspace(owners[0])
    for other in owners[1:]:
        await auth.co_owner(owners[0], workspace_id, other)
    answers = await asyncio.gather(*(leave(auth, owner, workspace_id) for owner in owners))
    assert sorted(answer.status_code for answer in answers) == [204, 204, 204, 204, 409]
    assert list((await auth.roles(workspace_id)).values()) == ["owner"]


async def test_owners_who_remove_each_other_in_a_ring_leave_one(auth: Stage) -> None:
    owners = [await auth.person() for _ in range(4)]
    workspace_id = await auth.workspace(owners[0])
    for other in owners[1:]:
        await auth.co_owner(owners[0], workspace_id, other)
    ids = [await auth.member_id(workspace_id, owner) for owner in owners]
    answers = await asyncio.gather(
        *(remove(auth, owner, workspace_id, ids[(n + 1) % 4]) for n, owner in enumerate(owners))
    )
    assert {answer.status_code for answer in answers} <= {204, 404, 409}
    roles = await auth.roles(workspace_id)
    assert roles
    assert set(roles.values()) == {"owner"}


async def test_a_transfer_hands_over_and_leaves_the_giver_admin(auth: Stage) -> None:
    owner, _, member, workspace_id = await company(auth)
    answer = await transfer(auth, owner, workspace_id, member)
    assert (answer.status_code, answer.json()["role"]) == (200, "owner")
    roles = await auth.roles(workspace_id)
    assert (roles[member.id], roles[owner.id]) == ("owner", "admin")


async def test_a_transfer_needs_a_fresh_sign_in(auth: Stage) -> None:
    owner, _, member, workspace_id = await company(auth)
    answer = await transfer(auth, owner, workspace_id, member, ago=301)
    assert (answer.status_code, answer.json()["code"]) == (401, "step_up_required")
    assert 'max_age="300"' in answer.headers["www-authenticate"]


async def test_who_hands_over_to_many_at_once_makes_one_owner(auth: Stage) -> None:
    owner, admin, member, workspace_id = await company(auth)
    answers = await asyncio.gather(*(transfer(auth, owner, workspace_id, who) for who in (admin, member) * 4))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 7
    assert sorted((await auth.roles(workspace_id)).values()).count("owner") == 1


async def test_an_owner_is_not_made_owner_again(auth: Stage) -> None:
    one, two = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(one)
    await auth.co_owner(one, workspace_id, two)
    answer = await transfer(auth, one, workspace_id, two)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_owner")


async def test_who_leaves_takes_his_keys_and_invitations_with_him(auth: Stage) -> None:
    _, admin, _, workspace_id = await company(auth)
    headers = auth.as_user(admin.id, workspace_id, role="admin")
    base = f"/v1/workspaces/{workspace_id}"
    body = {"name": "k", "scopes": ["servers:read"]}
    key = (await auth.client.post(f"{base}/api-keys", json=body, headers=headers)).json()
    headers = auth.as_user(admin.id, workspace_id, role="admin")
    invited = await auth.client.post(
        f"{base}/invitations", json={"email": "later@people.test"}, headers=headers
    )
    assert (await leave(auth, admin, workspace_id)).status_code == 204
    assert key["id"] in [event.key_id for event in await auth.bus.emitted(ApiKeyRevoked)]
    async with auth.worker.database.transaction() as session:
        assert (await session.get_one(ApiKey, key["id"])).revoke_reason == "its maker left"
        assert (await session.get_one(Invitation, invited.json()["id"])).revoked_at is not None


async def test_what_a_demoted_admin_had_offered_is_taken_back(auth: Stage) -> None:
    owner, admin, _, workspace_id = await company(auth)
    guest = await auth.person()
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": guest.email, "role": "admin"},
        headers=auth.as_user(admin.id, workspace_id, role="admin"),
    )
    assert answer.status_code == 201
    await auth.send_mail()
    assert (await set_role(auth, owner, workspace_id, admin, "member")).status_code == 200
    accepted = await auth.client.post(
        "/v1/invitations/accept",
        json={"token": auth.link_token(guest.email)},
        headers=auth.as_user(guest.id),
    )
    assert accepted.status_code == 410


async def test_a_member_of_another_workspace_is_nobody_here(auth: Stage) -> None:
    owner, other = await auth.person(), await auth.person()
    workspace_id, foreign = await auth.workspace(owner), await auth.workspace(other)
    theirs = await auth.member_id(foreign, other)
    headers = auth.as_user(owner.id, workspace_id)
    base = f"/v1/workspaces/{workspace_id}"
    answers = [
        await auth.client.patch(
            f"{base}/members/{theirs}", json={"role": "admin"}, headers={**headers, "If-Match": "*"}
        ),
        await auth.client.post(f"{base}/transfer", json={"member_id": theirs}, headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert await auth.roles(foreign) == {other.id: "owner"}


async def test_an_old_sign_in_is_not_enough_to_take_an_owner_his_role(auth: Stage) -> None:
    one, two = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(one)
    await auth.co_owner(one, workspace_id, two)
    path = f"/v1/workspaces/{workspace_id}/members/{await auth.member_id(workspace_id, two)}"
    old = auth.as_user(one.id, workspace_id, auth_time=int(time.time()) - 301)
    answers = [
        await auth.client.patch(path, json={"role": "admin"}, headers={**old, "If-Match": "*"}),
        await auth.client.delete(path, headers=old),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (401, "step_up_required")
    ] * 2
    fresh = auth.as_user(one.id, workspace_id, auth_time=int(time.time()) - 290)
    assert (await auth.client.delete(path, headers=fresh)).status_code == 204


async def test_a_key_takes_members_out_but_no_owner(auth: Stage) -> None:
    one, two, member = [await auth.person() for _ in range(3)]
    workspace_id = await auth.workspace(one)
    await auth.co_owner(one, workspace_id, two)
    await auth.join(one, workspace_id, member)
    body = {"name": "k", "scopes": ["members:write"]}
    base = f"/v1/workspaces/{workspace_id}"
    made = await auth.client.post(f"{base}/api-keys", json=body, headers=auth.as_user(one.id, workspace_id))
    headers = {
        HEADER: mint_internal(
            auth.trust.signer("gateway"), "auth", subject=made.json()["id"], key_id=made.json()["id"],
            kind="api_key", workspace_id=workspace_id, role="owner", permissions=["members.write"],
        )
    }  # fmt: skip
    owners, others = await auth.member_id(workspace_id, two), await auth.member_id(workspace_id, member)
    assert (await auth.client.delete(f"{base}/members/{owners}", headers=headers)).status_code == 403
    assert (await auth.client.delete(f"{base}/members/{others}", headers=headers)).status_code == 204
