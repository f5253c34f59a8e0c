"""A workspace's name, and who has seen which version of it."""

from __future__ import annotations

import asyncio

import httpx

from tests.auth.stage import Person, Stage


async def rename(
    auth: Stage, person: Person, workspace_id: str, name: str, if_match: str | None, role: str = "owner"
) -> httpx.Response:
    headers = auth.as_user(person.id, workspace_id, role=role)
    if if_match is not None:
        headers["If-Match"] = if_match
    return await auth.client.patch(f"/v1/workspaces/{workspace_id}", json={"name": name}, headers=headers)


async def test_who_has_seen_the_last_version_renames(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner, "Old")
    path, headers = f"/v1/workspaces/{workspace_id}", auth.as_user(owner.id, workspace_id)
    seen = await auth.client.get(path, headers=headers)
    answer = await rename(auth, owner, workspace_id, "New", seen.headers["etag"])
    assert (answer.status_code, answer.json()["name"]) == (200, "New")
    now = await auth.client.get(path, headers=headers)
    assert now.json()["name"] == "New"
    assert now.headers["etag"] == answer.headers["etag"] != seen.headers["etag"]


async def test_a_rename_without_if_match_is_asked_for_it(auth: Stage) -> None:
    owner = await auth.person()
    answer = await rename(auth, owner, await auth.workspace(owner), "New", None)
    assert (answer.status_code, answer.json()["code"]) == (428, "precondition_required")


async def test_of_two_who_saw_the_same_version_one_renames(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    answers = await asyncio.gather(
        *(rename(auth, owner, workspace_id, f"Name {number}", '"1"') for number in range(12))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 11


async def test_an_admin_renames_and_a_member_does_not(auth: Stage) -> None:
    owner, admin, member = [await auth.person() for _ in range(3)]
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    await auth.join(owner, workspace_id, member)
    assert (await rename(auth, admin, workspace_id, "A", "*", "admin")).status_code == 200
    assert (await rename(auth, member, workspace_id, "B", "*", "admin")).status_code == 403
