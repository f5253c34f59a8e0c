"""An export as a person asks for it and redeems it."""

from __future__ import annotations

from typing import Any

from services.vault.exports.service import Redeemed
from shared.identity import Identity
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace


async def ready(vault: Vault, mailboxes: int = 2) -> tuple[Workspace, list[str]]:
    workspace = vault.workspace()
    await workspace.server()
    return workspace, [await workspace.mailbox(f"m{n}@example-a.test") for n in range(mailboxes)]


async def create(workspace: Workspace, **body: Any) -> dict[str, Any]:
    body = {"format": "csv", "reason": "load into the sending tool", "main_password": True} | body
    response = await workspace.post("/exports", body, key=new_id("req"))
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def download(workspace: Workspace, created: dict[str, Any], **claims: Any) -> Any:
    return await workspace.post(f"/exports/{created['id']}/download", {"token": created["token"]}, **claims)


def identity(workspace: Workspace) -> Identity:
    return Identity(
        kind="user", subject=workspace.owner, workspace_id=workspace.id, role="owner",
        permissions=frozenset(workspace.permissions), scopes=frozenset(), session_id=None, auth_time=None,
        issuer="gateway", request_id=new_id("req"),
    )  # fmt: skip


async def redeem(workspace: Workspace, created: dict[str, Any]) -> Redeemed:
    async with workspace.vault.api_database.transaction(workspace_id=workspace.id) as session:
        return await workspace.vault.resources.exports.redeem(
            session, identity(workspace), created["id"], created["token"]
        )


async def recorded(workspace: Workspace) -> list[list[str]]:
    """Ids of mailboxes, a list for each page."""
    return [row["data"]["mailbox_ids"] for row in await workspace.audit() if "credentials" in row["action"]]
