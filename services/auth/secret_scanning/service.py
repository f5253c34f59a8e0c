"""Keys that somebody found in public: revoked at once, and said to the people in charge."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from pydantic import SecretStr, ValidationError

from services.auth import stream
from services.auth.api_keys import repository as api_keys
from services.auth.api_keys.format import KeyHasher, public_id_of
from services.auth.api_keys.service import prefix
from services.auth.ports import LeakScanners, SignatureRejected
from services.auth.secret_scanning.schemas import ALERTS, Alert, Verdict
from shared import audit
from shared.clock import Clock
from shared.db.database import Database, set_context
from shared.errors import Invalid
from shared.observability.logging import get_logger
from shared.web.signed_body import BadSignature

ACTOR: Final = "secret-scanning"
_log = get_logger("secret-scanning")


class SecretScanning:
    def __init__(self, database: Database, clock: Clock, hasher: KeyHasher, scanners: LeakScanners) -> None:
        self._database = database
        self._clock = clock
        self._hasher = hasher
        self._scanners = scanners

    async def take(self, body: bytes, key_identifier: str | None, signature: str | None) -> list[Verdict]:
        """Revokes what is ours. Raises BadSignature, and Invalid for a signed body that is no list of finds.

        Each find is a transaction of its own: keys of many workspaces may stand in one report, and a scanner that
        gets an error sends all of it again.
        """
        try:
            self._scanners.verify(body, key_identifier, signature)
        except SignatureRejected as error:
            _log.warning("report refused", reason=error.reason)
            raise BadSignature("The report was not signed by a scanner that we know.") from None
        try:
            alerts = ALERTS.validate_json(body)
        except ValidationError:
            raise Invalid("The body is no list of finds.", next_action="See docs/api-keys.md.") from None
        return [await self._judge(alert) for alert in alerts]

    async def _judge(self, alert: Alert) -> Verdict:
        ours = await self._revoke(alert)
        return Verdict(
            token_hash=_hash(alert.token),
            token_type=alert.type,
            label="true_positive" if ours else "false_positive",
        )

    async def _revoke(self, alert: Alert) -> bool:
        """Whether it was a key of ours, alive or not. Only a live one makes an event and a mail."""
        presented = alert.token.get_secret_value()
        public_id = public_id_of(presented)
        if public_id is None:
            return False
        async with self._database.transaction() as session:
            key = await api_keys.by_public_id(session, public_id)
            if key is None or not self._hasher.matches(presented, key.key_hash):
                return False
            await set_context(session, workspace_id=key.workspace_id)
            if not await api_keys.revoke(session, key.workspace_id, key.id, self._clock.now(), "leaked"):
                return True
            await stream.api_key_revoked(session, key.workspace_id, key.id)
            await audit.record(
                session,
                workspace_id=key.workspace_id,
                actor=ACTOR,
                action="auth.api_key.leaked",
                target=key.id,
                data={
                    "name": key.name,
                    "prefix": prefix(key),
                    "url": alert.url[:500].replace(presented, prefix(key)),
                    "source": alert.source,
                },
            )
        _log.warning("leaked key revoked", key_id=key.id, source=alert.source)
        return True


def _hash(token: SecretStr) -> str:
    return base64.b64encode(hashlib.sha256(token.get_secret_value().encode()).digest()).decode()
