"""What becomes of a mail, and telling it: Resend's events, signed as Svix does.

A mail is delivered, unless its recipient is one of whom the control API says otherwise, or one of the addresses that
Resend keeps for trying this out (`bounced@resend.dev` and the like).
Sources: https://resend.com/docs/dashboard/webhooks/event-types, https://resend.com/docs/dashboard/emails/send-test-emails,
https://docs.svix.com/receiving/verifying-payloads/how-manual
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from typing import Literal, get_args

from sandbox.faults import Faults
from sandbox.resend.books import Books, Document
from sandbox.webhooks import WebhookSender

Outcome = Literal["delivered", "delayed", "bounced", "soft_bounced", "complained", "suppressed", "failed"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)
EVENTS = {
    "delivered": ("delivered",),
    "delayed": ("delivery_delayed",),
    "bounced": ("bounced",),
    "soft_bounced": ("bounced",),
    "complained": ("delivered", "complained"),
    "suppressed": ("suppressed",),
    "failed": ("failed",),
}
TRIAL_DOMAIN = "resend.dev"
_BOUNCE = {
    "bounced": {
        "type": "Permanent",
        "subType": "General",
        "message": "550 5.1.1 The recipient's mail server knows no such mailbox.",
    },
    "soft_bounced": {
        "type": "Transient",
        "subType": "MailboxFull",
        "message": "452 4.2.2 The recipient's mailbox is full.",
    },
}


def signature(payload: bytes, secret: str, event_id: str, timestamp: int) -> str:
    """One entry of ``svix-signature``. `secret` is ``whsec_`` and base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{event_id}.{timestamp}.".encode() + payload, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


class Webhooks(WebhookSender):
    """One endpoint. `happen` makes something become of a mail."""

    def __init__(self, books: Books, faults: Faults, secret: str, now: Callable[[], float]) -> None:
        super().__init__("resend", books.store, faults, now)
        self._books = books
        self._secret = secret
        books.on_mail = self.dispatch

    def dispatch(self, mail: Document) -> None:
        """What happens to a mail that was taken: to each recipient what is set for it."""
        for address in mail["to"]:
            self.happen(mail, address, self._books.outcome_of(address) or _trial(address))

    def happen(self, mail: Document, address: str, outcome: str) -> list[str]:
        """Ids of the events. Raises ValueError for an unknown outcome."""
        if outcome not in EVENTS:
            raise ValueError(f"unknown outcome {outcome!r}; known: {', '.join(OUTCOMES)}")
        return [self._event(mail, address, kind, outcome) for kind in EVENTS[outcome]]

    def resend(self, event_id: str) -> None:
        """Deliver an event once more. Raises KeyError when there is none."""
        self.again(self._books.event(event_id))

    def _event(self, mail: Document, address: str, kind: str, outcome: str) -> str:
        moment = dt.datetime.now(dt.UTC).isoformat()
        data = {
            "email_id": mail["id"],
            "created_at": mail["created_at"],
            "from": mail["from"],
            "to": [address],
            "subject": mail["subject"],
            "tags": {tag["name"]: tag["value"] for tag in mail.get("tags") or []},
        }
        if kind == "bounced":
            data["bounce"] = _BOUNCE[outcome]
        body = {"type": f"email.{kind}", "created_at": moment, "data": data}
        event = {"id": f"msg_{uuid.uuid4().hex}", "type": body["type"], "body": body}
        self._books.add_event(event, mail["id"])
        self.queue(event)
        return str(event["id"])

    def payload(self, event_id: str) -> bytes:
        return json.dumps(self._books.event(event_id)["body"]).encode()

    def headers(self, event_id: str, payload: bytes, timestamp: int) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "Svix-Webhooks/1.0",
            "svix-id": event_id,
            "svix-timestamp": str(timestamp),
            "svix-signature": signature(payload, self._secret, event_id, timestamp),
        }


def _trial(address: str) -> str:
    local, _, domain = address.lower().partition("@")
    local = local.partition("+")[0]
    return local if domain == TRIAL_DOMAIN and local in OUTCOMES else "delivered"
