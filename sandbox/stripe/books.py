"""Stripe's state: objects by kind, events, answers kept for idempotency keys, and who may call."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from typing import Any

from sandbox.store import Store
from sandbox.stripe.errors import no_such

API_VERSION = "2026-10-28.endive"
Document = dict[str, Any]
KINDS = {
    "product": "product",
    "price": "price",
    "customer": "customer",
    "checkout.session": "checkout.session",
    "subscription": "subscription",
    "invoice": "invoice",
    "refund": "refund",
    "event": "event",
    "billing_portal.session": "billing_portal.session",
    "invoice_payment": "invoice_payment",
}
_ALPHABET = string.ascii_letters + string.digits


class Books:
    """Objects as the API shows them. `now` gives Unix time; `emit` is set by the webhooks."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self.store = store
        self._now = now
        self.public_url = "https://pay.invalid"
        """Where the hosted pages are; set by the application that serves them."""
        self.on_event: Callable[[Document], None] | None = None

    def now(self) -> int:
        return int(self._now())

    def put(self, body: Document) -> Document:
        """Keep an object under its ``object`` and ``id``."""
        self.store.put(body["object"], body["id"], body)
        return body

    def get(self, kind: str, key: str, param: str = "id") -> Document:
        """The object. Raises StripeError 404, or 400 when a parameter names it."""
        found = self.store.get(kind, key)
        if found is None:
            error = no_such(kind.rpartition(".")[2] if "." not in kind else kind, key, param)
            if param != "id":
                error.status = 400
            raise error
        return found

    def list(self, kind: str) -> list[Document]:
        """Newest first, as every list of the API."""
        return self.store.list(kind)[::-1]

    def emit(self, kind: str, body: Document, previous: Document | None = None) -> Document:
        """Write an event about `body` as it is now, and hand it to the webhooks."""
        data: Document = {"object": body}
        if previous:
            data["previous_attributes"] = previous
        event = self.put(
            {
                "id": new_id("evt"),
                "object": "event",
                "api_version": API_VERSION,
                "created": self.now(),
                "data": data,
                "livemode": False,
                "pending_webhooks": 1,
                "request": {"id": new_id("req"), "idempotency_key": None},
                "type": kind,
            }
        )
        if self.on_event is not None:
            self.on_event(event)
        return event

    def view(self) -> Document:
        """Everything for the control API."""
        return {f"{kind}s".replace(".", "_"): self.store.list(kind) for kind in KINDS}


def new_id(prefix: str, length: int = 24) -> str:
    """``prefix_`` and random letters and digits, as Stripe's ids look."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(length))
