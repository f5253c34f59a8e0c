"""Stripe's webhooks: which events are told, and how they are signed.

Signature: ``Stripe-Signature: t=<unix>,v1=<hex HMAC-SHA256 of "<t>.<body>">``.
Source: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable

from sandbox.faults import Faults
from sandbox.stripe.books import Books, Document
from sandbox.webhooks import WebhookSender

SENT = ("checkout.session.", "customer.subscription.", "invoice.", "refund.", "charge.")


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """The value of ``Stripe-Signature``."""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


class Webhooks(WebhookSender):
    """One endpoint, for the events that Checkout and subscriptions cause."""

    def __init__(self, books: Books, faults: Faults, secret: str, now: Callable[[], float]) -> None:
        super().__init__("stripe", books.store, faults, now)
        self._books = books
        self._secret = secret
        books.on_event = self.queue

    def queue(self, event: Document) -> None:
        if event["type"].startswith(SENT):
            super().queue(event)

    def resend(self, event_id: str) -> None:
        """Deliver an event once more. Raises StripeError when there is none."""
        self.again(self._books.get("event", event_id))

    def payload(self, event_id: str) -> bytes:
        return json.dumps(self._books.get("event", event_id), indent=2).encode()

    def headers(self, event_id: str, payload: bytes, timestamp: int) -> dict[str, str]:
        return {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(payload, self._secret, timestamp),
        }

    def taken(self, event_id: str) -> None:
        event = self._books.get("event", event_id)
        self._books.put(event | {"pending_webhooks": 0})
