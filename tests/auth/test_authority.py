"""What gateways ask, and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.auth.worker import beat
from shared.contracts.auth_events import AuthAuditRecorded, Heartbeat
from shared.contracts.vault_events import VaultAuditRecorded
from shared.ids import new_id
from tests.auth.stage import Stage


async def snapshot(auth: Stage) -> dict[str, Any]:
    answer = await auth.client.get("/internal/memberships", headers=auth.trust.service("gateway", "auth"))
    assert answer.status_code == 200
    return dict(answer.json())


async def introspect(auth: Stage, **question: str | None) -> dict[str, Any]:
    answer = await auth.client.post(
        "/internal/introspect", json=question, headers=auth.trust.service("gateway", "auth")
    )
    return dict(answer.json())


async def test_the_snapshot_has_all_memberships_and_fresh_revocations(auth: Stage) -> None:
    one, two = await auth.person(), await auth.person()
    first, second = await auth.workspace(one), await auth.workspace(two)
    await auth.client.delete(
        "/v1/auth/sessions/current", headers=auth.as_user(one.id, session_id=one.session_id)
    )
    found = await snapshot(auth)
    memberships = {(item["workspace_id"], item["account_id"]): item["role"] for item in found["memberships"]}
    assert memberships[first, one.id] == memberships[second, two.id] == "owner"
    assert one.session_id in found["revoked_sessions"]
    assert two.session_id not in found["revoked_sessions"]
    before = found["sequence"]
    await auth.workspace(one)
    assert (await snapshot(auth))["sequence"] == before + 1


async def test_nobody_but_the_gateway_may_ask(auth: Stage) -> None:
    person = await auth.person()
    for headers in (
        {"X-SC-Identity": "nonsense"},
        auth.as_user(person.id),
        auth.trust.service("vault", "auth"),
        auth.trust.service("gateway", "vault"),
    ):
        answer = await auth.client.get("/internal/memberships", headers=headers)
        assert answer.status_code in (401, 403)


async def test_a_session_is_introspected_with_the_role_in_a_workspace(auth: Stage) -> None:
    person, stranger = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(person)
    question = {"kind": "session", "session_id": person.session_id, "account_id": person.id}
    assert (await introspect(auth, **question, workspace_id=workspace_id))["role"] == "owner"
    assert (await introspect(auth, **question, workspace_id=new_id("ws")))["role"] is None
    assert (await introspect(auth, **{**question, "account_id": stranger.id}))["active"] is False
    await auth.client.delete(
        "/v1/auth/sessions/current", headers=auth.as_user(person.id, session_id=person.session_id)
    )
    assert (await introspect(auth, **question))["active"] is False


async def test_a_heartbeat_says_the_last_number_and_old_beats_are_cleared(auth: Stage) -> None:
    await auth.workspace(await auth.person())
    position = (await snapshot(auth))["sequence"]
    await beat(auth.worker.database)
    assert (await auth.bus.emitted(Heartbeat))[-1].sequence == position
    async with auth.worker.database.transaction() as session:
        from sqlalchemy import text

        await session.execute(text("update outbox set published_at = now()"))
    await beat(auth.worker.database)
    assert len(await auth.bus.emitted(Heartbeat)) == 1


async def test_the_audit_log_shows_every_services_rows_of_this_workspace_only(auth: Stage) -> None:
    owner, other = await auth.person(), await auth.person()
    workspace_id, foreign = await auth.workspace(owner), await auth.workspace(other)
    for own in await auth.bus.emitted(AuthAuditRecorded):
        await auth.bus.deliver(own)
    for number, place in enumerate((workspace_id, workspace_id, foreign)):
        event = VaultAuditRecorded(
            audit_id=new_id("aud"),
            workspace_id=place,
            sequence=number,
            at=datetime.now(UTC) + timedelta(seconds=number),
            actor_kind="user",
            actor_id=owner.id,
            action="vault.export.redeemed",
            target=new_id("exp"),
            outcome="ok",
            reason="move",
            row_hash="00" * 32,
        )
        await auth.bus.deliver(event)
        await auth.bus.deliver(event)
    headers = auth.as_user(owner.id, workspace_id)
    path = f"/v1/workspaces/{workspace_id}/audit"
    first = (await auth.client.get(path, params={"limit": 2}, headers=headers)).json()
    rest = (await auth.client.get(path, params={"cursor": first["next_cursor"]}, headers=headers)).json()
    actions = [item["action"] for item in first["items"] + rest["items"]]
    assert actions == ["vault.export.redeemed", "vault.export.redeemed", "auth.workspace.created"]
    assert first["items"][0]["reason"] == "move"
    bad = await auth.client.get(path, params={"cursor": "WyJ4IiwieSJd"}, headers=headers)
    assert bad.status_code == 422
