"""An attempt that cannot be recorded is not answered; what needs no record passes."""

from __future__ import annotations

from typing import Any

import pytest

from services.vault import refusals
from shared.ids import new_id
from tests.vault.conftest import Vault


async def test_a_refusal_that_cannot_be_recorded_is_a_503(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = vault.workspace()

    async def broken(*_: Any, **__: Any) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(refusals, "record", broken)
    response = await workspace.post(f"/mailboxes/{new_id('mbx')}/reveal", {"reason": "curious"})
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


async def test_lists_and_health_are_not_recorded(vault: Vault) -> None:
    workspace = vault.workspace()
    assert (await workspace.get("/provider-tokens", permissions=())).status_code == 403
    assert (await workspace.get(f"/exports/{new_id('exp')}")).status_code == 404
    assert (await vault.client.get("/healthz")).status_code == 200
    assert (await vault.client.get("/nowhere", headers=workspace.headers())).status_code == 404
    assert await workspace.audit() == []


async def test_a_caller_outside_any_workspace_has_no_chain_to_write_to(vault: Vault) -> None:
    workspace = vault.workspace()
    headers = vault.trust.user("vault", workspace_id=None, permissions=["credentials.reveal"])
    response = await vault.client.post(
        f"/v1/workspaces/{workspace.id}/mailboxes/{new_id('mbx')}/reveal",
        json={"reason": "curious"},
        headers=headers,
    )
    assert response.status_code == 404
    assert await workspace.audit() == []


def test_a_body_that_is_no_problem_document_has_no_code() -> None:
    assert refusals._code(b'{"code": "gone"}') == "gone"
    for body in (b"", b"text", b"[]", b"{}"):
        assert refusals._code(body) == "unknown"


async def test_every_watched_route_exists(vault: Vault) -> None:
    """And every public route that changes or hands out something is watched."""
    document = vault.app.openapi()
    routes = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert set(refusals.WATCHED) <= routes
    assert {route for route in routes if route[0] != "GET"} <= set(refusals.WATCHED)


async def test_secrets_are_handed_out_by_post_and_with_step_up(vault: Vault) -> None:
    document = vault.app.openapi()
    base = "/v1/workspaces/{workspace_id}"
    for path in (base + "/mailboxes/{mailbox_id}/reveal", base + "/exports"):
        assert list(document["paths"][path]) == ["post"]
        assert document["paths"][path]["post"]["x-access"]["step_up"] == 300


async def test_readiness_includes_the_key_service(vault: Vault) -> None:
    assert (await vault.client.get("/readyz")).json()["checks"] == {"database": "ok", "key_service": "ok"}
    await vault.keys.stop()
    response = await vault.client.get("/readyz")
    assert (response.status_code, response.json()["checks"]["key_service"]) == (503, "failed")


async def test_decryptions_are_counted_by_purpose_in_metrics(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.password(await workspace.mailbox())
    text = (await vault.client.get("/metrics")).text
    assert 'sendchief_vault_decrypted_total{purpose="reveal"}' in text
