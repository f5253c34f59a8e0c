"""Every night: what Stripe is paid for, held against the servers that there are.

It finds and tells; it repairs nothing, but for a paid invoice that was never told: that one is put into the inbox and
takes the ordinary way. What is younger than an hour may still be under way and is left for the next night.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Gauge
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing import repository
from services.provisioner.models import BillingComparison, BillingFinding, Server, Subscription
from services.provisioner.ports import BillingPort, PaymentSubscription
from shared.clock import Clock
from shared.db.database import Database
from shared.ids import new_id
from shared.observability.logging import get_logger

KINDS = (
    "paid_without_server",
    "server_without_paid",
    "two_subscriptions",
    "amount_differs",
    "status_differs",
    "unknown_subscription",
)
UNDER_WAY = timedelta(hours=1)
NIGHT_HOUR = 2
LOCK = 0x5C_B111
STATUS_OF = {"good": "active", "due": "past_due", "ended": "ended"}
FINDINGS = Gauge("sc_billing_findings", "Open findings of the comparison with Stripe", ["kind"])

_log = get_logger("comparison")


@dataclass(frozen=True)
class Finding:
    """One difference. `subject` is our subscription's id, or Stripe's where we have none."""

    kind: str
    subject: str
    workspace_id: str | None
    details: dict[str, Any] = field(default_factory=dict)
    missed_invoice: str | None = None
    """A paid invoice that we never took in."""


def compare(
    ours: Iterable[tuple[Subscription, Server | None]],
    theirs: Sequence[PaymentSubscription],
    now: datetime,
) -> list[Finding]:
    """All differences that are older than an hour."""
    settled = now - UNDER_WAY
    paying: dict[str, list[PaymentSubscription]] = defaultdict(list)
    for one in theirs:
        if one.standing() in ("good", "due") and (one.created_at is None or one.created_at <= settled):
            paying[one.metadata.get("subscription_id", "")].append(one)
    by_id = {one.id: one for one in theirs}
    found: list[Finding] = []
    for row, server in ours:
        found += _of_row(row, server, paying.pop(row.id, []), by_id, settled)
    for strangers in paying.values():
        found += [
            Finding("unknown_subscription", one.id, None, {"metadata": one.metadata}) for one in strangers
        ]
    return found


def _of_row(
    row: Subscription,
    server: Server | None,
    paying: Sequence[PaymentSubscription],
    by_id: Mapping[str, PaymentSubscription],
    settled: datetime,
) -> list[Finding]:
    found = []

    def find(kind: str, *, missed: str | None = None, **details: Any) -> None:
        found.append(Finding(kind, row.id, row.workspace_id, details, missed))

    if len(paying) > 1:
        find("two_subscriptions", stripe=sorted(one.id for one in paying))
    mine = by_id.get(row.stripe_subscription_id or "")
    wanted = server is not None and server.desired == "present" and server.deleted_at is None
    leaving = server is not None and (server.cancelled_at or settled) > settled
    for one in paying:
        if not wanted and not leaving and row.status != "refused":
            missed = one.latest_invoice_id if one.latest_invoice_status == "paid" else None
            find("paid_without_server", missed=missed if server is None else None, stripe=one.id)
        if row.amount_cents is not None and (one.amount_cents, one.currency) != (
            row.amount_cents,
            row.currency,
        ):
            agreed, charged = (row.amount_cents, row.currency), (one.amount_cents, one.currency)
            find("amount_differs", agreed=agreed, charged=charged, stripe=one.id)
    if wanted and row.dunning is None and (row.activated_at is None or row.activated_at <= settled):
        if mine is None or mine.standing() == "ended":
            find(
                "server_without_paid", server=server.id if server else None, stripe=row.stripe_subscription_id
            )
        elif STATUS_OF.get(mine.standing(), row.status) != row.status:
            find("status_differs", ours=row.status, stripe_status=mine.status, stripe=mine.id)
    return found


class Comparison:
    """`run_if_due` is for a schedule, `run` for an operator who wants to know now."""

    def __init__(self, database: Database, billing: BillingPort, clock: Clock) -> None:
        self._database = database
        self._billing = billing
        self._clock = clock

    async def run_if_due(self) -> bool:
        """Once after each 02:00 UTC, by one of the workers. One that broke off is begun again after an hour."""
        async with self._database.transaction() as session:
            if not await self._is_due(session):
                return False
            run_id = await _begin(session, self._clock.now())
        await self._carry_out(run_id)
        return True

    async def run(self) -> list[Finding]:
        async with self._database.transaction() as session:
            run_id = await _begin(session, self._clock.now())
        return await self._carry_out(run_id)

    async def _is_due(self, session: AsyncSession) -> bool:
        if not await session.scalar(select(func.pg_try_advisory_xact_lock(LOCK))):
            return False
        now = self._clock.now()
        night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
        night -= timedelta(days=1) if night > now else timedelta()
        running = (BillingComparison.finished_at.is_(None)) & (BillingComparison.started_at > now - UNDER_WAY)
        done = BillingComparison.finished_at.is_not(None) & (BillingComparison.started_at >= night)
        return await session.scalar(select(BillingComparison.id).where(running | done).limit(1)) is None

    async def _carry_out(self, run_id: str) -> list[Finding]:
        theirs = await self._billing.subscriptions()
        now = self._clock.now()
        async with self._database.transaction() as session:
            rows = await session.execute(
                select(Subscription, Server).outerjoin(Server, Server.subscription_id == Subscription.id)
            )
            ours = [(row, server) for row, server in rows]
            found = compare(ours, theirs, now)
            await _write_down(session, found, now)
            for finding in found:
                if finding.missed_invoice is not None:
                    event = f"evt_compared_{finding.missed_invoice}"
                    await repository.remember(session, event, "invoice.paid", finding.missed_invoice)
            run = await session.get_one(BillingComparison, run_id)
            run.finished_at, run.compared, run.findings = now, len(theirs), len(found)
        counted = Counter(finding.kind for finding in found)
        for kind in KINDS:
            FINDINGS.labels(kind).set(counted[kind])
        return found


async def _begin(session: AsyncSession, now: datetime) -> str:
    run = BillingComparison(id=new_id("cmp"), started_at=now)
    session.add(run)
    await session.flush()
    return run.id


async def _write_down(session: AsyncSession, found: Sequence[Finding], now: datetime) -> None:
    """Known ones are seen again, new ones are added, and what is no longer found is cleared."""
    for finding in found:
        seen = {"details": finding.details, "last_seen_at": now, "cleared_at": None}
        await session.execute(
            insert(BillingFinding)
            .values(
                kind=finding.kind,
                subject=finding.subject,
                workspace_id=finding.workspace_id,
                first_seen_at=now,
                **seen,
            )
            .on_conflict_do_update(index_elements=["kind", "subject"], set_=seen)
        )
        _log.error("stripe and servers differ", kind=finding.kind, subject=finding.subject, **finding.details)
    await session.execute(
        update(BillingFinding)
        .where(BillingFinding.cleared_at.is_(None), BillingFinding.last_seen_at < now)
        .values(cleared_at=now)
        .execution_options(synchronize_session=False)
    )
