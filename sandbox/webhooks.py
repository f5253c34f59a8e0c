"""Signed delivery of events to the merchant's endpoint, with retries that survive a restart."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import httpx
import structlog

from sandbox.faults import Faults
from sandbox.store import Document, Store

log = structlog.get_logger()
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 60.0
GIVE_UP_AFTER = 3 * 86_400
OVERTAKEN_SECONDS = 1.5
TIMEOUT_SECONDS = 10.0


class WebhookSender(ABC):
    """One vendor's endpoint. Deliveries are documents until they are answered 2xx; `now` gives Unix time.

    An event is a document with `id` and `type`; what is sent about it, and how it is signed, is the vendor's.
    """

    def __init__(self, vendor: str, store: Store, faults: Faults, now: Callable[[], float]) -> None:
        self._vendor = vendor
        self._store = store
        self._faults = faults
        self._now = now
        self._wake = asyncio.Event()

    @abstractmethod
    def payload(self, event_id: str) -> bytes:
        """The body to be sent."""

    @abstractmethod
    def headers(self, event_id: str, payload: bytes, timestamp: int) -> dict[str, str]:
        """Its headers, the signature among them."""

    @abstractmethod
    def resend(self, event_id: str) -> None:
        """Deliver an event once more. Raises what the vendor's books raise when there is none."""

    def taken(self, event_id: str) -> None:  # noqa: B027 - not every vendor notes it
        """The merchant has answered 2xx."""

    def configure(self, url: str, ca_file: str | None) -> None:
        """Where to deliver from now on; kept over a restart."""
        self._store.put("webhook", "endpoint", {"url": url, "ca_file": ca_file})
        self._wake.set()

    def endpoint(self) -> Document | None:
        return self._store.get("webhook", "endpoint")

    def queue(self, event: Document) -> None:
        """Plan the delivery of an event, or two of them, or a late one: the habits of webhooks."""
        fault = self._faults.take(self._vendor, f"webhook.{event['type']}")
        delay = OVERTAKEN_SECONDS if fault is not None and fault.kind == "reorder" else 0.0
        if fault is not None and fault.kind == "delay":
            delay = fault.seconds
        self._plan(event, delay)
        if fault is not None and fault.kind == "duplicate":
            self._plan(event, delay + 0.3)

    def deliveries(self) -> list[Document]:
        """All deliveries with their attempts, for the control API."""
        return self._store.list("delivery")

    def again(self, event: Document) -> None:
        """Deliver an event once more."""
        self._plan(event, 0.0)

    async def run(self) -> None:
        """Deliver what is due, for ever."""
        while True:
            self._wake.clear()
            due = self._due()
            await asyncio.gather(*(self._attempt(each) for each in due))
            try:
                # Not wait_for: before Python 3.12 it may swallow a cancellation that meets the wake-up.
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _plan(self, event: Document, delay: float) -> None:
        now = self._now()
        delivery = {
            "id": f"wd_{uuid.uuid4().hex}",
            "event": event["id"],
            "type": event["type"],
            "state": "pending",
            "created": now,
            "due": now + delay,
            "attempts": [],
        }
        self._store.put("delivery", delivery["id"], delivery)
        self._wake.set()

    def _pending(self) -> list[Document]:
        return [each for each in self._store.list("delivery") if each["state"] == "pending"]

    def _due(self) -> list[Document]:
        if self.endpoint() is None:
            return []
        return [each for each in self._pending() if each["due"] <= self._now()]

    def _pause(self) -> float:
        if self.endpoint() is None:
            return LAST_RETRY_SECONDS
        due = [each["due"] for each in self._pending()]
        return max(0.01, min(min(due) - self._now(), LAST_RETRY_SECONDS)) if due else LAST_RETRY_SECONDS

    async def _attempt(self, delivery: Document) -> None:
        outcome = await self._post(delivery)
        delivery["attempts"].append({"at": self._now(), "outcome": outcome})
        if isinstance(outcome, int) and 200 <= outcome < 300:
            delivery["state"] = "delivered"
            self.taken(delivery["event"])
        elif self._now() - delivery["created"] > GIVE_UP_AFTER:
            delivery["state"] = "failed"
        else:
            tries = len(delivery["attempts"])
            delivery["due"] = self._now() + min(FIRST_RETRY_SECONDS * 2 ** (tries - 1), LAST_RETRY_SECONDS)
            log.info("webhook not taken", event_type=delivery["type"], outcome=outcome, tries=tries)
        self._store.put("delivery", delivery["id"], delivery)

    async def _post(self, delivery: Document) -> int | str:
        """The status of the merchant's answer, or what kept it from answering."""
        endpoint = self.endpoint()
        if endpoint is None:
            return "no endpoint"
        payload = self.payload(delivery["event"])
        headers = self.headers(delivery["event"], payload, int(self._now()))
        try:
            async with httpx.AsyncClient(
                verify=_trust(endpoint), timeout=TIMEOUT_SECONDS, trust_env=False
            ) as client:
                return (await client.post(endpoint["url"], content=payload, headers=headers)).status_code
        except (httpx.HTTPError, OSError) as error:
            return f"{type(error).__name__}: {error}"


def _trust(endpoint: Document) -> Any:
    ca_file = endpoint["ca_file"]
    return ssl.create_default_context(cafile=ca_file) if ca_file else ssl.create_default_context()
