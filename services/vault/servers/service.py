"""Per-host webmail keys, and what ends with a server."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited
from services.vault.app_passwords import repository as app_passwords
from services.vault.credential_rotations import repository as rotations
from services.vault.mailboxes import repository as mailboxes
from services.vault.models import Secret
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets import repository as secret_rows
from services.vault.secrets.service import SecretStore
from services.vault.servers import repository
from services.vault.servers.host_key import KEY, KEY_BYTES, OWNER_KIND, SEED, host_key, stored
from services.vault.webmail import repository as webmail
from shared.audit import record
from shared.clock import Clock
from shared.contracts.vault_api import WebmailKeyRequest, WebmailKeyResponse
from shared.errors import Invalid, NotFound
from shared.identity import Identity

_HOSTNAME = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


class Servers:
    def __init__(self, store: SecretStore, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._random = random_bytes

    async def webmail_key(
        self, session: AsyncSession, actor: Identity, server_id: str, request: WebmailKeyRequest
    ) -> WebmailKeyResponse:
        """The host's key, made when there is none or when `rekey` asks; the key before it opens nothing more.

        Raises NotFound for a server of another workspace or one that is gone.
        """
        if not _HOSTNAME.fullmatch(request.hostname):
            raise Invalid("This is not a host name.", field="body.hostname")
        server = await repository.remember(session, server_id, request.workspace_id, request.hostname)
        if server is None:
            raise NotFound
        secret = await stored(session, server_id)
        if secret is None or request.rekey:
            secret = await self._make(session, actor, request.workspace_id, server_id, secret)
        access = await audited.grant(
            session, actor, workspace_id=request.workspace_id, purpose="webmail_key",
            action="vault.webmail_key.read", target=server_id, owners=[server_id], data={"version": secret.version},
        )  # fmt: skip
        key = host_key(secret, await self._store.open(access, secret), request.hostname)
        encoded = base64.urlsafe_b64encode(key.reveal()).rstrip(b"=").decode()
        return WebmailKeyResponse(version=secret.version, key=SecretStr(encoded))

    async def _make(
        self, session: AsyncSession, actor: Identity, workspace_id: str, server_id: str, old: Secret | None
    ) -> Secret:
        version = 1 if old is None else old.version + 1
        await record(
            session, workspace_id=workspace_id, actor=actor, action="vault.webmail_key.made",
            target=server_id, outcome="ok", data={"version": version},
        )  # fmt: skip
        for field in (SEED, KEY):
            await secret_rows.delete_older(session, OWNER_KIND, server_id, field, than=version)
        return await self._store.seal(
            session,
            SecretBytes(self._random(KEY_BYTES)),
            workspace_id=workspace_id,
            owner_kind=OWNER_KIND,
            owner_id=server_id,
            field=SEED,
            version=version,
            state="current",
            server_id=server_id,
        )

    async def ready(self, session: AsyncSession, workspace_id: str, server_id: str, hostname: str) -> None:
        """Remembers the host's name."""
        await repository.remember(session, server_id, workspace_id, hostname)

    async def deleted(self, session: AsyncSession, workspace_id: str, server_id: str) -> int:
        """Deletes the secrets of this server and of its mailboxes, and no others; how many."""
        now = self._clock.now()
        await repository.bury(session, server_id, workspace_id, now)
        gone = mailboxes.of_server(workspace_id, server_id)
        await app_passwords.delete_of_mailboxes(session, gone)
        await rotations.gone(session, gone, now)
        await webmail.delete_of_mailboxes(session, gone)
        await mailboxes.bury_of_server(session, workspace_id, server_id, now)
        return await secret_rows.delete_of_server(session, workspace_id, server_id)
