"""The end of a workspace: its data keys are destroyed, and what they wrapped opens no more."""

from __future__ import annotations

from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.app_passwords import repository as app_passwords
from services.vault.credential_rotations import repository as rotations
from services.vault.data_keys import repository as data_keys
from services.vault.data_keys.cache import DataKeyCache
from services.vault.exports import repository as exports
from services.vault.mailboxes import repository as mailboxes
from services.vault.models import kit
from services.vault.provider_tokens import repository as provider_tokens
from services.vault.read_limits import repository as read_limits
from services.vault.secrets import repository as secret_rows
from services.vault.servers import repository as servers
from services.vault.webmail import repository as webmail
from shared.audit import record
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.vault_events import WorkspaceShredded

CHANNEL = "vault_shredded"
"""NOTIFY channel on which the API processes hear whose data keys to drop; the payload is the workspace's id."""


class Workspaces:
    def __init__(self, cache: DataKeyCache, clock: Clock) -> None:
        self._cache = cache
        self._clock = clock

    async def shred(self, session: AsyncSession, workspace_id: str, version: int) -> WorkspaceShredded | None:
        """Destroys the data keys, deletes the rest, says so. None when that was done before.

        The audit rows stay: they name no secret and prove what was done with them.
        """
        if await data_keys.is_shredded(session, workspace_id):
            return None
        await app_passwords.delete_of_workspace(session, workspace_id)
        await rotations.delete_of_workspace(session, workspace_id)
        await webmail.delete_of_workspace(session, workspace_id)
        await mailboxes.delete_of_workspace(session, workspace_id)
        await servers.delete_of_workspace(session, workspace_id)
        await exports.delete_of_workspace(session, workspace_id)
        await provider_tokens.delete_of_workspace(session, workspace_id)
        await read_limits.delete_of_workspace(session, workspace_id)
        idempotency = kit.IdempotencyKey
        await session.execute(delete(idempotency).where(idempotency.workspace_id == workspace_id))
        secrets = await secret_rows.delete_of_workspace(session, workspace_id)
        await record(
            session, workspace_id=workspace_id, actor="vault", action="vault.workspace.shredded",
            target=workspace_id, outcome="ok", reason="workspace deleted", data={"secrets": secrets},
        )  # fmt: skip
        destroyed = await data_keys.shred(session, workspace_id, self._clock.now())
        event = WorkspaceShredded(workspace_id=workspace_id, data_keys=destroyed, secrets=secrets)
        await outbox.emit(
            session, event, subject=workspace_id, workspace_id=workspace_id, aggregate_version=version
        )
        self._cache.purge(workspace_id)
        await session.execute(
            text("select pg_notify(:channel, :scope)"), {"channel": CHANNEL, "scope": workspace_id}
        )
        return event
