"""The mails that were taken, and the answers kept for idempotency keys."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from sandbox.store import Store

Document = dict[str, Any]


class Books:
    """Mails in one store, oldest first. `on_mail` is set by the webhooks."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.on_mail: Callable[[Document], None] | None = None

    def add(self, mail: Document) -> Document:
        """Keep a mail under a new id."""
        taken = {"id": str(uuid.uuid4()), "created_at": dt.datetime.now(dt.UTC).isoformat(), **mail}
        self.store.put("mail", taken["id"], taken)
        if self.on_mail is not None:
            self.on_mail(taken)
        return taken

    def get(self, key: str) -> Document | None:
        return self.store.get("mail", key)

    def messages(self, to: str | None = None) -> list[Document]:
        """All mails, or those to one address, oldest first."""
        found = self.store.list("mail")
        return found if to is None else [m for m in found if to.lower() in [each.lower() for each in m["to"]]]

    def replay(self, key: str, body: bytes) -> tuple[bool, str | None]:
        """(same request, id of its mail) of an idempotency key; (True, None) when the key is new."""
        kept = self.store.get("idempotency", key)
        if kept is None or kept["until"] < dt.datetime.now(dt.UTC).timestamp():
            return True, None
        return kept["request"] == hashlib.sha256(body).hexdigest(), kept["id"]

    def remember(self, key: str, body: bytes, mail_id: str) -> None:
        """Keep the answer of a key for 24 hours."""
        until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=24)).timestamp()
        request = hashlib.sha256(body).hexdigest()
        self.store.put("idempotency", key, {"id": mail_id, "request": request, "until": until})

    def set_outcome(self, address: str, outcome: str | None) -> None:
        """What becomes of mails to this address from now on; None: they are delivered."""
        if outcome is None:
            self.store.delete("recipient", address.lower())
        else:
            self.store.put("recipient", address.lower(), {"outcome": outcome})

    def outcome_of(self, address: str) -> str | None:
        kept = self.store.get("recipient", address.lower())
        return None if kept is None else str(kept["outcome"])

    def add_event(self, event: Document, mail_id: str) -> None:
        """Keep an event; it is the last one of its mail."""
        self.store.put("event", event["id"], event)
        mail = self.get(mail_id)
        if mail is not None:
            self.store.put("mail", mail_id, mail | {"last_event": event["type"].removeprefix("email.")})

    def event(self, key: str) -> Document:
        """Raises KeyError when there is none."""
        found = self.store.get("event", key)
        if found is None:
            raise KeyError(key)
        return found

    def view(self) -> Document:
        """The books for the control API."""
        return {"emails": self.messages(), "events": self.store.list("event")}
