"""The mails that were taken, and the answers kept for idempotency keys."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from typing import Any

from sandbox.store import Store

Document = dict[str, Any]


class Books:
    """Mails in one store, oldest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, mail: Document) -> Document:
        """Keep a mail under a new id."""
        taken = {"id": str(uuid.uuid4()), "created_at": dt.datetime.now(dt.UTC).isoformat(), **mail}
        self._store.put("mail", taken["id"], taken)
        return taken

    def get(self, key: str) -> Document | None:
        return self._store.get("mail", key)

    def messages(self, to: str | None = None) -> list[Document]:
        """All mails, or those to one address, oldest first."""
        found = self._store.list("mail")
        return found if to is None else [m for m in found if to.lower() in [each.lower() for each in m["to"]]]

    def replay(self, key: str, body: bytes) -> tuple[bool, str | None]:
        """(same request, id of its mail) of an idempotency key; (True, None) when the key is new."""
        kept = self._store.get("idempotency", key)
        if kept is None or kept["until"] < dt.datetime.now(dt.UTC).timestamp():
            return True, None
        return kept["request"] == hashlib.sha256(body).hexdigest(), kept["id"]

    def remember(self, key: str, body: bytes, mail_id: str) -> None:
        """Keep the answer of a key for 24 hours."""
        until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=24)).timestamp()
        request = hashlib.sha256(body).hexdigest()
        self._store.put("idempotency", key, {"id": mail_id, "request": request, "until": until})

    def view(self) -> Document:
        """The books for the control API."""
        return {"emails": self.messages()}
