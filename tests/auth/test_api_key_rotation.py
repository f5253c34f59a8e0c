"""Keys that change over, that are bound to networks, and that say when they were last used."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import httpx
import pytest

from services.auth.api_keys import service
from tests.auth.stage import Person, Stage, seconds
from tests.auth.test_api_keys import introspect, make

DAY = 24 * 3600


async def rotate(auth: Stage, owner: Person, workspace_id: str, key_id: str, **claims: Any) -> httpx.Response:
    return await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys/{key_id}/rotate",
        json={"expires_in_days": 30},
        headers=auth.as_user(owner.id, workspace_id, **claims),
    )


async def listed(auth: Stage, owner: Person, workspace_id: str) -> dict[str, Any]:
    """key id → its view"""
    headers = auth.as_user(owner.id, workspace_id)
    answer = await auth.client.get(f"/v1/workspaces/{workspace_id}/api-keys", headers=headers)
    return {item["id"]: item for item in answer.json()["items"]}


async def test_a_rotated_key_works_a_day_beside_its_successor(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    old = await make(auth, owner, workspace_id, allowed_networks=["192.0.2.0/24"])
    answer = await rotate(auth, owner, workspace_id, old["id"])
    new = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert (new["name"], new["scopes"], new["allowed_networks"]) == (
        old["name"],
        old["scopes"],
        ["192.0.2.0/24"],
    )
    seen = await listed(auth, owner, workspace_id)
    assert seen[new["id"]]["rotated_from"] == old["id"]
    assert seen[old["id"]]["replaced_by"] == new["id"]
    auth.clock.advance(seconds(DAY - 1))
    assert [(await introspect(auth, key["key"]))["active"] for key in (old, new)] == [True, True]
    auth.clock.advance(seconds(2))
    assert [(await introspect(auth, key["key"]))["active"] for key in (old, new)] == [False, True]


async def test_a_key_near_its_end_does_not_live_longer_by_rotation(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    old = await make(auth, owner, workspace_id, expires_in_days=1)
    auth.clock.advance(seconds(DAY - 60))
    assert (await rotate(auth, owner, workspace_id, old["id"])).status_code == 201
    assert (await listed(auth, owner, workspace_id))[old["id"]]["expires_at"] == old["expires_at"]


async def test_of_many_rotations_at_once_one_makes_a_key(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    old = await make(auth, owner, workspace_id)
    answers = await asyncio.gather(*(rotate(auth, owner, workspace_id, old["id"]) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len(await listed(auth, owner, workspace_id)) == 2


async def test_a_repeated_rotation_answers_without_the_key(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    old = await make(auth, owner, workspace_id)
    path = f"/v1/workspaces/{workspace_id}/api-keys/{old['id']}/rotate"
    headers = auth.as_user(owner.id, workspace_id)
    first = await auth.client.post(path, json={}, headers=headers)
    again = await auth.client.post(path, json={}, headers=headers)
    assert again.json() == {**first.json(), "key": None}


async def test_a_revoked_and_an_expired_key_are_not_rotated(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    revoked, expired = (
        await make(auth, owner, workspace_id),
        await make(auth, owner, workspace_id, expires_in_days=1),
    )
    headers = auth.as_user(owner.id, workspace_id)
    await auth.client.delete(f"/v1/workspaces/{workspace_id}/api-keys/{revoked['id']}", headers=headers)
    auth.clock.advance(seconds(DAY))
    for key in (revoked, expired):
        answer = await rotate(auth, owner, workspace_id, key["id"])
        assert (answer.status_code, answer.json()["code"]) == (409, "key_closed")


async def test_who_rotates_has_to_be_able_to_grant_what_the_key_can(auth: Stage) -> None:
    owner, admin = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    key = await make(auth, owner, workspace_id)
    answer = await rotate(
        auth, admin, workspace_id, key["id"], role="admin", permissions=["api_keys.write", "domains.read"]
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "scopes_refused")


async def test_a_rotated_key_is_its_new_makers(auth: Stage) -> None:
    owner, admin = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    old = await make(auth, owner, workspace_id)
    new = (await rotate(auth, admin, workspace_id, old["id"], role="admin")).json()
    found = await introspect(auth, new["key"])
    assert (found["account_id"], found["role"]) == (admin.id, "admin")


async def test_networks_are_kept_in_one_spelling_and_told_to_the_gateway(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    key = await make(
        auth, owner, workspace_id, allowed_networks=["198.51.100.7", "2001:DB8:0:0::/48", "198.51.100.7/32"]
    )
    assert key["allowed_networks"] == ["198.51.100.7/32", "2001:db8::/48"]
    assert (await introspect(auth, key["key"]))["allowed_networks"] == key["allowed_networks"]


@pytest.mark.parametrize("wrong", ["10.0.0.1/8", "everywhere", "10.0.0.0/33", "", "fe80::%eth0/64x", "1.2.3"])
async def test_what_is_no_network_is_refused(auth: Stage, wrong: str) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "k", "scopes": ["servers:read"], "allowed_networks": [wrong]},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 422
    assert "allowed_networks" in answer.json()["errors"][0]["field"]


async def test_the_last_use_is_noted_once_a_minute_and_only_for_a_key_that_works(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    key = await make(auth, owner, workspace_id)

    async def last_used() -> datetime | None:
        found = (await listed(auth, owner, workspace_id))[key["id"]]["last_used_at"]
        return datetime.fromisoformat(found) if found else None

    assert await last_used() is None
    await introspect(auth, key["key"])
    first = await last_used()
    assert first == auth.clock.now()
    auth.clock.advance(seconds(30))
    await introspect(auth, key["key"])
    assert await last_used() == first
    auth.clock.advance(seconds(31))
    await introspect(auth, key["key"])
    second = await last_used()
    assert second == auth.clock.now()
    auth.clock.advance(seconds(100 * DAY))
    await introspect(auth, key["key"])
    assert await last_used() == second


async def test_a_key_with_a_successor_does_not_count_among_the_fifty(
    auth: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "KEYS_PER_WORKSPACE", 2)
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    first = await make(auth, owner, workspace_id)
    assert (await rotate(auth, owner, workspace_id, first["id"])).status_code == 201
    await make(auth, owner, workspace_id)
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "k", "scopes": ["servers:read"]},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 409
