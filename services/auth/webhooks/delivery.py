"""Sends what waits in `webhook_delivery`: at least once, each attempt under the same id.

claim (a lease on the webhook, the attempt counted) → send, in no transaction → settle (only while the attempt is ours)

A worker that dies between sending and settling leaves the lease, and another one sends again. Each webhook has one
message under way at most, and a task of its own: a slow receiver holds up nobody but himself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter

from services.auth.models import Webhook, WebhookDelivery
from services.auth.sealing import NotOpened
from services.auth.standard_webhooks import sign
from services.auth.webhooks import repository, service
from services.auth.webhooks.service import Webhooks
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.http.public import PublicClient, TargetRefused, Unreachable, UrlRefused, public_url
from shared.observability.logging import get_logger

PAUSES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
)
"""Between the ten attempts, as Standard Webhooks recommends: 75 hours and a half in all."""
JITTER: Final = 0.1
LONGEST_WISH: Final = timedelta(hours=24)
"""How far a receiver can put off the next attempt by `Retry-After`."""
LEASE: Final = timedelta(seconds=60)
PARALLEL: Final = 100
GONE: Final = 410
ATTEMPTS: Final = Counter("sc_webhook_attempts_total", "Attempts to deliver a webhook", ["outcome"])

_log = get_logger("webhooks")


@dataclass(frozen=True)
class Outcome:
    """Of one attempt: the answer's status, or why there was none."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def next_attempt(
    tries: int, now: datetime, *, retry_after: float | None = None, jitter: Callable[[], float]
) -> datetime | None:
    """When to try again after `tries` failures, or None when that was the last. `jitter` gives 0 to 1."""
    if tries > len(PAUSES):
        return None
    pause = PAUSES[tries - 1] * (1 + JITTER * jitter())
    if retry_after is not None:
        pause = max(pause, min(timedelta(seconds=retry_after), LONGEST_WISH))
    return now + pause


class Deliveries:
    """`turn` starts what is due, `drain` waits for all of it. Any number of workers may do so at once."""

    def __init__(
        self,
        database: Database,
        webhooks: Webhooks,
        client: PublicClient,
        *,
        jitter: Callable[[], float] = random.random,
        parallel: int = PARALLEL,
    ) -> None:
        self._database, self._webhooks, self._client = database, webhooks, client
        self._jitter, self._parallel = jitter, parallel
        self._running: set[asyncio.Task[None]] = set()

    async def turn(self) -> int:
        """Starts a task for each webhook that has something due, as far as there is room, and returns how many."""
        free = self._parallel - len(self._running)
        if free <= 0:
            return 0
        async with self._database.transaction() as session:
            claimed = await repository.claim_due(session, self._webhooks.clock.now(), limit=free, lease=LEASE)
        for webhook, row in claimed:
            task = asyncio.create_task(self._one(webhook, row))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return len(claimed)

    async def drain(self) -> None:
        """Everything that is due now, to its end."""
        while await self.turn() or self._running:
            await asyncio.gather(*self._running)

    async def aclose(self, seconds: float = 3.0) -> None:
        """Lets attempts under way finish for a while, then cancels them: they are made again after the lease."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def seal_anew(self) -> None:
        """Secrets under a key that is being replaced, in steps of a transaction each."""
        after = ""
        while True:
            async with self._database.transaction() as session:
                rows = await repository.all_of(session, after, limit=100)
                for row in rows:
                    self._webhooks.seal_anew(row)
            if not rows:
                return
            after = rows[-1].id

    async def _one(self, webhook: Webhook, row: WebhookDelivery) -> None:
        try:
            crashpoint("webhook.claimed")
            outcome = await self._send(webhook, row)
            crashpoint("webhook.sent")
            await self._settle(webhook, row, outcome)
        except Exception as error:  # logged; the lease bounds how soon it is tried again
            _log.error("webhook attempt failed", delivery=row.id, exc_info=error)

    async def _send(self, webhook: Webhook, row: WebhookDelivery) -> Outcome:
        now = self._webhooks.clock.now()
        timestamp = str(int(now.timestamp()))
        try:
            url = public_url(webhook.url, ports=self._webhooks.ports, special_names=())
            signatures = [
                sign(row.body, event_id=row.event_id, timestamp=timestamp, secret=secret)
                for secret in self._webhooks.secrets_of(webhook, now)
            ]
            answer = await self._client.post(
                url,
                row.body,
                {
                    "Content-Type": "application/json",
                    "webhook-id": row.event_id,
                    "webhook-timestamp": timestamp,
                    "webhook-signature": " ".join(signatures),
                },
            )
        except UrlRefused as refused:
            return Outcome(error=str(refused))
        except (TargetRefused, Unreachable) as failure:
            return Outcome(error=failure.reason)
        except NotOpened as lost:
            _log.error("a webhook's secret does not open", webhook=webhook.id, reason=str(lost))
            return Outcome(error="it could not be signed; we have been told")
        return Outcome(answer.status, retry_after=answer.retry_after)

    async def _settle(self, webhook: Webhook, row: WebhookDelivery, outcome: Outcome) -> None:
        now = self._webhooks.clock.now()
        tries = row.attempts - row.attempts_before
        again = None
        if not outcome.taken and outcome.status != GONE:
            again = next_attempt(tries, now, retry_after=outcome.retry_after, jitter=self._jitter)
        state = "delivered" if outcome.taken else "pending" if again else "failed"
        ATTEMPTS.labels(state).inc()
        async with self._database.transaction() as session:
            held = await repository.lock(session, webhook.workspace_id, webhook.id)
            if held is None:
                return
            ours = await repository.settle(
                session,
                row.id,
                row.attempts,
                state=state,
                next_attempt_at=again,
                response_status=outcome.status,
                error=outcome.error,
            )
            if not ours:
                return
            held.leased_until = now
            if outcome.taken:
                held.last_success_at = now
            elif outcome.status == GONE and held.enabled:
                await service.disable(session, held, "gone", "the receiver answered 410 to another message")
            elif state == "failed" and held.enabled and _silent_since(held, row.queued_at):
                await service.disable(session, held, "exhausted", "the receiver took nothing for days")
        _log.info(
            "webhook attempt",
            delivery=row.id,
            webhook=webhook.id,
            event_id=row.event_id,
            attempt=row.attempts,
            state=state,
            status=outcome.status,
            reason=outcome.error,
        )


def _silent_since(webhook: Webhook, moment: datetime) -> bool:
    """A receiver that took other messages meanwhile is alive: then this one message has failed, and no more."""
    return webhook.last_success_at is None or webhook.last_success_at < moment
