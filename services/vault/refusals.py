"""Refused and failed attempts at secrets are audited too, before their answer leaves.

What succeeds writes its row in its own transaction. What fails has rolled that transaction back, so the row is
written here, in one of its own, while the answer is held. If it cannot be written the answer is a plain 503.
"""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.audit import record
from shared.db.database import Database
from shared.identity import Identity
from shared.observability.logging import get_logger
from shared.web.problems import problem

_WORKSPACE = "/v1/workspaces/{workspace_id}"

# (method, route) -> (action, path parameter that is the target)
WATCHED: dict[tuple[str, str], tuple[str, str]] = {
    ("POST", _WORKSPACE + "/mailboxes/{mailbox_id}/reveal"): ("vault.credential.revealed", "mailbox_id"),
    ("POST", _WORKSPACE + "/mailboxes/{mailbox_id}/webmail-sessions"): ("vault.webmail.opened", "mailbox_id"),
    ("DELETE", _WORKSPACE + "/mailboxes/{mailbox_id}/webmail-sessions"): (
        "vault.webmail.ended",
        "mailbox_id",
    ),
    ("POST", _WORKSPACE + "/exports"): ("vault.export.created", "workspace_id"),
    ("POST", _WORKSPACE + "/exports/{export_id}/download"): ("vault.export.redeemed", "export_id"),
    ("POST", _WORKSPACE + "/provider-tokens"): ("vault.provider_token.stored", "workspace_id"),
    ("POST", _WORKSPACE + "/mailboxes/{mailbox_id}/chosen-password"): ("vault.password.set", "mailbox_id"),
    ("POST", _WORKSPACE + "/mailboxes/{mailbox_id}/password"): ("vault.password.renewed", "mailbox_id"),
    ("POST", _WORKSPACE + "/mailboxes/{mailbox_id}/app-passwords"): (
        "vault.app_password.created",
        "mailbox_id",
    ),
    ("DELETE", _WORKSPACE + "/app-passwords/{app_password_id}"): (
        "vault.app_password.revoked",
        "app_password_id",
    ),
    ("POST", _WORKSPACE + "/credential-reads/rotate"): ("vault.credentials.rotated", "workspace_id"),
    ("GET", "/internal/provider-tokens/{token_id}"): ("vault.provider_token.read", "token_id"),
    ("PUT", "/internal/mailboxes/{mailbox_id}"): ("vault.password.made", "mailbox_id"),
    ("PUT", "/internal/servers/{server_id}/webmail-key"): ("vault.webmail_key.read", "server_id"),
}

_DENIED = frozenset({401, 403, 404, 410, 429})
_ID = re.compile(r"[a-z]{2,4}_[0-9a-f]{32}")

logger = get_logger(__name__)


class RefusalAudit:
    """The outermost middleware of the vault's application. Without a verified identity there is no chain to write
    to, and the access log alone tells of the attempt."""

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def hold(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _watched(scope, message["status"]) is not None:
                held = message
                return
            if held is None:
                await send(message)
                return
            start, held = held, None
            if await self._record(scope, start["status"], message.get("body", b"")):
                await send(start)
                await send(message)
            else:
                await _unavailable(scope, receive, send)

        await self._app(scope, receive, hold)

    async def _record(self, scope: Scope, status: int, body: bytes) -> bool:
        watched = _watched(scope, status)
        assert watched is not None
        identity, action, target = watched
        try:
            async with self._database.transaction(workspace_id=identity.workspace_id) as session:
                await record(
                    session,
                    workspace_id=identity.workspace_id or "",
                    actor=identity,
                    action=action,
                    target=target,
                    outcome="denied" if status in _DENIED else "failed",
                    reason=_code(body),
                    data={"status": status},
                )
        except Exception as error:  # any: an attempt that cannot be recorded gets no other answer than 503
            logger.error("a refusal could not be audited", action=action, exc_info=error)
            return False
        return True


def _watched(scope: Scope, status: int) -> tuple[Identity, str, str] | None:
    """Identity, action and target, when this answer needs a row."""
    identity: Identity | None = scope.get("state", {}).get("identity")
    path = getattr(scope.get("route"), "path_format", None)
    found = WATCHED.get((scope["method"], path)) if isinstance(path, str) else None
    if status < 400 or found is None or identity is None or identity.workspace_id is None:
        return None
    action, parameter = found
    named = str(scope.get("path_params", {}).get(parameter, ""))
    return identity, action, named if _ID.fullmatch(named) else "malformed"


def _code(body: bytes) -> str:
    """The problem's code."""
    try:
        document: Any = json.loads(body)
        return str(document["code"])[:64]
    except (ValueError, KeyError, TypeError):
        return "unknown"


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    response = problem(
        503, "unavailable", "Temporarily unavailable", "The attempt could not be recorded, so it was not answered.",
        next_action="Send the same request again.",
    )  # fmt: skip
    await response(scope, receive, send)
