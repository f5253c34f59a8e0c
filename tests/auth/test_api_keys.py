"""API keys: shown once, stored as HMAC, no stronger than their maker."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from gateway.routes import ANY_SCOPE, RouteTable
from gateway.settings import GatewaySettings
from services.auth.api_keys.format import PATTERN, KeyHasher, generate, public_id_of
from services.auth.api_keys.schemas import Scope
from shared.contracts.auth_events import ApiKeyRevoked
from tests.auth.stage import Person, Stage, seconds

TABLE = RouteTable.load(GatewaySettings.model_fields["permissions_file"].default)


async def make(
    auth: Stage, owner: Person, workspace_id: str, headers: dict[str, str] | None = None, **fields: Any
) -> dict[str, Any]:
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "partner", "scopes": ["servers:read"], **fields},
        headers={**auth.as_user(owner.id, workspace_id), **(headers or {})},
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def introspect(auth: Stage, key: str) -> dict[str, Any]:
    answer = await auth.client.post(
        "/internal/introspect",
        json={"kind": "api_key", "key": key},
        headers=auth.trust.service("gateway", "auth"),
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.asvs("11.5.1")
def test_keys_have_the_published_form() -> None:
    key = generate().key.get_secret_value()
    assert PATTERN.fullmatch(key)
    assert public_id_of(key) == key[8:16]


@given(st.integers(8, 55), st.sampled_from("0Az_-"))
def test_a_changed_character_fails_the_checksum(position: int, character: str) -> None:
    key = generate().key.get_secret_value()
    changed = key[:position] + character + key[position + 1 :]
    assert changed == key or public_id_of(changed) is None


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        KeyHasher(SecretStr("short"))


async def test_a_key_is_shown_once(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    headers = {"Idempotency-Key": "the-same"}
    first = await make(auth, owner, workspace_id, headers)
    again = await make(auth, owner, workspace_id, headers)
    listed = await auth.client.get(
        f"/v1/workspaces/{workspace_id}/api-keys", headers=auth.as_user(owner.id, workspace_id)
    )
    assert first["key"].startswith(first["prefix"])
    assert again == {**first, "key": None}
    assert first["key"] not in listed.text


async def test_neither_the_key_nor_its_secret_part_is_in_any_table(auth: Stage) -> None:
    owner = await auth.person()
    key = (await make(auth, owner, await auth.workspace(owner)))["key"]
    async with auth.worker.database.transaction() as session:
        for table in ("api_key", "outbox", "idempotency_key", "audit_entry"):
            rows = (await session.execute(text(f"select t::text from {table} t"))).scalars()  # noqa: S608
            assert not any(key[17:49] in row or key[17:49].encode().hex() in row for row in rows), table


async def test_a_presented_key_tells_its_workspace_maker_and_scopes(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    made = await make(auth, owner, workspace_id)
    found = await introspect(auth, made["key"])
    assert found["active"] is True
    assert (found["key_id"], found["workspace_id"], found["account_id"]) == (
        made["id"],
        workspace_id,
        owner.id,
    )
    assert (found["role"], found["scopes"]) == ("owner", ["servers:read"])


async def test_wrong_revoked_expired_and_orphaned_keys_are_inactive(auth: Stage) -> None:
    owner, admin = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    key = (await make(auth, owner, workspace_id))["key"]
    other = generate().key.get_secret_value()
    assert (await introspect(auth, other))["active"] is False
    assert (await introspect(auth, key[:-1]))["active"] is False

    revoked = await make(auth, owner, workspace_id)
    headers = auth.as_user(owner.id, workspace_id)
    path = f"/v1/workspaces/{workspace_id}/api-keys/{revoked['id']}"
    assert (await auth.client.delete(path, headers=headers)).status_code == 204
    assert (await introspect(auth, revoked["key"]))["active"] is False
    assert revoked["id"] in [event.key_id for event in await auth.bus.emitted(ApiKeyRevoked)]

    orphan = (await make(auth, admin, workspace_id))["key"]
    members = (await auth.client.get(f"/v1/workspaces/{workspace_id}/members", headers=headers)).json()
    member = next(item for item in members["items"] if item["account_id"] == admin.id)
    await auth.client.delete(f"/v1/workspaces/{workspace_id}/members/{member['id']}", headers=headers)
    assert (await introspect(auth, orphan))["active"] is False

    auth.clock.advance(seconds(90 * 24 * 3600))
    assert (await introspect(auth, key))["active"] is False


async def test_a_key_whose_maker_is_no_member_is_inactive_even_if_nobody_revoked_it(auth: Stage) -> None:
    owner, admin = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    key = (await make(auth, admin, workspace_id))["key"]
    assert (await introspect(auth, key))["active"] is True
    async with auth.worker.database.transaction() as session:
        await session.execute(text("delete from member where account_id = :id"), {"id": admin.id})
    assert (await introspect(auth, key))["active"] is False


async def test_scopes_never_exceed_the_maker(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "greedy", "scopes": ["servers:read", "billing:write"]},
        headers=auth.as_user(owner.id, workspace_id, role="admin"),
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "scopes_refused")


async def test_a_key_cannot_make_keys(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    headers = auth.trust.api_key(
        "auth", workspace_id=workspace_id, permissions=["api_keys.write", "servers.read"]
    )
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "child", "scopes": ["servers:read"]},
        headers={**headers, "Idempotency-Key": "k"},
    )
    assert answer.status_code == 403


def test_scopes_that_can_be_granted_are_those_that_open_something() -> None:
    """And each is named like a permission, by which it is decided who may grant it."""
    offered = set(get_args(Scope))
    assert offered == {route.scope for route in TABLE.routes if route.scope is not None} - {ANY_SCOPE}
    assert {scope.replace(":", ".") for scope in offered} <= TABLE.permissions_of("owner")
