"""What auth needs from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Mail:
    """One message to one person. `key` is the same when it is tried again, so that it is not sent twice.
    `reference` comes back with what the provider tells about it later."""

    key: str
    to: str
    subject: str
    text: str
    html: str
    kind: str
    reference: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class MailRefused(Exception):
    """The provider will never take this message; trying again is of no use. `reason` holds no address."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MailDelayed(Exception):
    """Not now. `retry_after` is in seconds when the provider said so."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after


class Mailer(Protocol):
    async def send(self, mail: Mail) -> str:
        """The provider's id of the message. Raises MailRefused or MailDelayed."""
        ...

    async def aclose(self) -> None: ...


class SignatureRejected(Exception):
    """What a vendor sent is not signed as it should be. `reason` is for the log, never for the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MailWebhook(Protocol):
    def verify(
        self,
        body: bytes,
        *,
        event_id: str | None,
        timestamp: str | None,
        signatures: str | None,
        now: datetime,
    ) -> None:
        """Raises SignatureRejected unless the mail provider has just signed these bytes for us."""
        ...


class LeakScanners(Protocol):
    def verify(self, body: bytes, key_identifier: str | None, signature: str | None) -> None:
        """Raises SignatureRejected unless the named scanner signed exactly these bytes."""
        ...
