"""Webmail sign-in tokens: `v1.<base64url JSON>.<base64url HMAC-SHA256>`, for one mailbox at one host.

The payload is {"jti", "sub": mailbox address, "aud": host name, "iat", "exp"}; the MAC covers everything before its
dot. The host keeps the same key and lets each `jti` in once. No mailbox password is touched. Who was given which `jti`
is kept while it could be alive, so that it can be ended (ending.py).
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited
from services.vault.errors import ServerNotReady
from services.vault.mailboxes import repository as mailboxes
from services.vault.models import WebmailSignIn
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets.service import SecretStore
from services.vault.servers import repository as servers
from services.vault.servers.host_key import host_key, stored
from services.vault.webmail import repository
from services.vault.webmail.ending import OUTLIVED
from services.vault.webmail.schemas import WebmailSession
from shared.clock import Clock
from shared.errors import Forbidden, NotFound
from shared.identity import Identity

LIFETIME = timedelta(seconds=60)


class Webmail:
    def __init__(self, store: SecretStore, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._random = random_bytes

    async def open(self, session: AsyncSession, actor: Identity, mailbox_id: str) -> WebmailSession:
        """A sign-in token. Raises NotFound, ServerNotReady (409) while the host has no key, Forbidden for a caller from
        whom the right was taken since his request passed the gateway."""
        workspace_id = actor.workspace_id or ""
        openers = [
            await repository.lock_opener(session, workspace_id, one)
            for one in (actor.subject, actor.maker)
            if one is not None
        ]
        if not all(one.may_open for one in openers):
            raise Forbidden(
                "You may not open webmail in this workspace any more.",
                next_action="Ask an owner of the workspace.",
            )
        mailbox = await mailboxes.lock(session, mailbox_id)
        if mailbox is None:
            raise NotFound
        server = await servers.get(session, mailbox.server_id)
        secret = await stored(session, mailbox.server_id)
        if server is None or server.hostname is None or secret is None:
            raise ServerNotReady("Its webmail opens when the server is ready.")
        now = self._clock.now()
        sign_in = WebmailSignIn(
            id=_base64url(self._random(16)),
            workspace_id=mailbox.workspace_id,
            mailbox_id=mailbox_id,
            opened_by=actor.subject,
            maker=actor.maker,
            issued_at=now,
        )
        await repository.forget(session, [mailbox_id], now - OUTLIVED)
        session.add(sign_in)
        access = await audited.grant(
            session, actor, workspace_id=mailbox.workspace_id, purpose="webmail_sign",
            action="vault.webmail.opened", target=mailbox_id, owners=[mailbox.server_id],
            data={"sign_in": sign_in.id},
        )  # fmt: skip
        key = host_key(secret, await self._store.open(access, secret), server.hostname)
        issued = int(now.timestamp())
        expires = issued + int(LIFETIME.total_seconds())
        payload = {
            "jti": sign_in.id,
            "sub": mailbox.address,
            "aud": server.hostname,
            "iat": issued,
            "exp": expires,
        }
        return WebmailSession(
            action_url=f"https://{server.hostname}/?_task=login&_action=sso",
            token=sign(payload, key),
            expires_at=now.replace(microsecond=0) + LIFETIME,
        )


def sign(payload: Mapping[str, object], key: SecretBytes) -> str:
    """The token of a payload under a host's key."""
    signed = "v1." + _base64url(json.dumps(payload, separators=(",", ":")).encode())
    mac = hmac.digest(key.reveal(), signed.encode(), "sha256")
    return f"{signed}.{_base64url(mac)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
