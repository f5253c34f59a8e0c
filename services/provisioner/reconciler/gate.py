"""One gate before each provider and zone, shared by all workers: a token bucket, and a breaker.

The row lies in PostgreSQL because a limit is the account's, not a process's. A 429 pauses every worker for as long as
the provider asks; five silences in a row open the breaker, and then one call at a time is let through to see whether
the provider is back. A call that the gate refuses was never sent, so a create that it refuses did not happen.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from prometheus_client import Counter
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import ProviderGate
from services.provisioner.ports import (
    CloudBusy,
    CloudError,
    CloudPaused,
    CloudPort,
    CloudRateLimited,
    CloudUnavailable,
)
from shared.db.database import Database
from shared.observability.logging import get_logger

REFUSED = Counter("sc_cloud_refused_total", "Calls to a cloud that our own gate held back", ["why"])
ENTER_SECONDS = 1.0
"""Longer than this nobody waits at the gate: a create must be sent while its lease lasts (`lease_margin_seconds`)."""
SPREAD_SECONDS = 2.0

_log = get_logger("gate")


@dataclass(frozen=True)
class Limits:
    """Calls per second and in one burst; after how many silences in a row nothing is sent, and for how many seconds."""

    rate: float
    burst: float
    failures: int = 5
    open_seconds: float = 30.0


def admit(row: ProviderGate, limits: Limits, now: datetime) -> tuple[str, float] | None:
    """Takes a token. Else why not, and the seconds until it is worth another try."""
    if row.paused_until is not None and row.paused_until > now:
        return "paused", (row.paused_until - now).total_seconds()
    if row.open_until is not None:
        if row.open_until > now:
            return "open", (row.open_until - now).total_seconds()
        row.open_until = now + timedelta(seconds=limits.open_seconds)  # for all but this one call
    idle = max(0.0, (now - row.refilled_at).total_seconds())
    row.tokens = min(limits.burst, row.tokens + idle * limits.rate)
    row.refilled_at = now
    if row.tokens < 1:
        return "rate", (1 - row.tokens) / limits.rate
    row.tokens -= 1
    return None


def settle(row: ProviderGate, limits: Limits, now: datetime, error: CloudError | None) -> None:
    """What the answer to a call means for the calls after it."""
    if isinstance(error, CloudRateLimited):
        until = now + timedelta(seconds=error.retry_after)
        row.paused_until = max(until, row.paused_until or until)
    if silent(error):
        row.failures += 1
        if row.failures >= limits.failures:
            row.open_until = now + timedelta(seconds=limits.open_seconds)
    else:
        row.failures, row.open_until = 0, None


def silent(error: CloudError | None) -> bool:
    """Whether the provider does not answer at all. A refusal is an answer."""
    return isinstance(error, CloudUnavailable) or (isinstance(error, CloudBusy) and error.code == "not_sent")


class Gate:
    """The gate of one provider."""

    def __init__(
        self, database: Database, provider: str, limits: Limits, source: random.Random | None = None
    ) -> None:
        self._database = database
        self._provider = provider
        self._limits = limits
        self._source = source or random.SystemRandom()

    async def enter(self, zone: str) -> bool:
        """Whether the answer has to be told in any case. Raises CloudPaused when the call must not be sent now."""
        try:
            async with asyncio.timeout(ENTER_SECONDS), self._database.transaction() as session:
                row, now = await self._row(session, zone)
                refusal = admit(row, self._limits, now)
                troubled = row.failures > 0
        except TimeoutError:
            refusal, troubled = ("busy", ENTER_SECONDS), False
        if refusal is not None:
            why, seconds = refusal
            REFUSED.labels(why).inc()
            # Spread, so that a fleet that was held back together does not come back together.
            raise CloudPaused(
                f"{self._provider} {zone}: {why}",
                retry_after=seconds + self._source.uniform(0, SPREAD_SECONDS),
            )
        return troubled

    async def tell(self, zone: str, error: CloudError | None) -> None:
        async with self._database.transaction() as session:
            row, now = await self._row(session, zone)
            was_open = row.open_until is not None
            settle(row, self._limits, now, error)
        if was_open != (row.open_until is not None):
            _log.warning("breaker", provider=self._provider, zone=zone, open=not was_open)

    async def _row(self, session: AsyncSession, zone: str) -> tuple[ProviderGate, datetime]:
        """The zone's row, locked, and the database's time now that it is."""
        key = {"provider": self._provider, "zone": zone}
        query = select(ProviderGate, func.clock_timestamp()).filter_by(**key).with_for_update()
        found = (await session.execute(query)).one_or_none()
        if found is None:
            await session.execute(
                insert(ProviderGate).values(**key, tokens=self._limits.burst).on_conflict_do_nothing()
            )
            found = (await session.execute(query)).one()
        return found[0], found[1]


def guarded(cloud: CloudPort, gate: Gate) -> CloudPort:
    """`cloud`, each of whose calls goes through `gate`."""
    return cast(CloudPort, _Guarded(cloud, gate))


class _Guarded:
    """Every method of a CloudPort takes the zone first."""

    def __init__(self, cloud: CloudPort, gate: Gate) -> None:
        self._cloud = cloud
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cloud, name)

        async def call(zone: str, *args: Any, **kwargs: Any) -> Any:
            troubled = await self._gate.enter(zone)
            try:
                answer = await method(zone, *args, **kwargs)
            except CloudError as error:
                if troubled or silent(error) or isinstance(error, CloudRateLimited):
                    await self._gate.tell(zone, error)
                raise
            if troubled:
                await self._gate.tell(zone, None)
            return answer

        return call
