"""What follows a payment that is owed, step by step, and back again as soon as it is paid.

Level-triggered: each run compares where a subscription is on the ladder (`plans.toml`) with where its money and the
time say that it should be, and makes at most one step of each, in one transaction with its event and its audit row. A
step is taken only after it was announced for as long as the ladder says, however late the run comes. What the host
does about it is the reconciler's: here only the wish changes, by a new generation.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Server, Subscription
from services.provisioner.plans import Catalogue, DunningStep
from services.provisioner.reconciler.lease import wake
from services.provisioner.servers import service as servers
from services.provisioner.servers.repository import lock
from services.provisioner.subscriptions import repository as subscriptions
from services.provisioner.subscriptions.views import due_at
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.envelope import EventData
from shared.contracts.provisioner_events import DunningAdvanced, DunningAnnounced, SubscriptionRestored
from shared.db.database import Database
from shared.observability.logging import get_logger

FIRST = "past_due"
READ_ONLY = "read_only"
DESTROYED = "destroyed"

_log = get_logger("dunning")


class Dunning:
    """`run` may be called by several workers at once: each step is taken under the rows' locks."""

    def __init__(self, database: Database, catalogue: Catalogue, clock: Clock) -> None:
        self._database = database
        self._catalogue = catalogue
        self._clock = clock

    async def run(self) -> int:
        """The number of steps that were taken or announced."""
        async with self._database.transaction() as session:
            concerned = (await session.scalars(_concerned())).all()
        done = 0
        for server_id in concerned:
            async with self._database.transaction() as session:
                done += await self._one(session, server_id)
        return done

    async def _one(self, session: AsyncSession, server_id: str) -> bool:
        """The server first, then its subscription: in this order everybody locks them."""
        server = await lock(session, server_id)
        if server is None or server.desired == "absent":
            return False
        row = await subscriptions.lock(session, server.subscription_id)
        assert row is not None
        now = self._clock.now()
        if row.status == "active":
            return await _restore(session, row, server)
        if row.status == "ended" and row.dunning != READ_ONLY:
            return await self._ended(session, row, server, now)
        if row.dunning is None:
            row.dunning, row.dunning_at = FIRST, now
        following = self._catalogue.dunning_after(row.dunning)
        if following is None:
            return False
        if row.announced != following.step:
            return await self._announce(session, row, server, following, now)
        if now < due_at(row, following):
            return False
        await self._take(session, row, server, following.step, now)
        return True

    async def _ended(self, session: AsyncSession, row: Subscription, server: Server, now: datetime) -> bool:
        """Nobody pays any more. A server that holds mail stays for its export, one that never worked goes at once."""
        await self._take(session, row, server, READ_ONLY if server.ever_ready else DESTROYED, now)
        return True

    async def _announce(
        self, session: AsyncSession, row: Subscription, server: Server, step: DunningStep, now: datetime
    ) -> bool:
        assert row.dunning_at is not None
        due = row.dunning_at + timedelta(days=step.after_days)
        notice = timedelta(days=step.notice_days)
        if now < due - notice:
            return False
        row.announced, row.announced_at = step.step, now
        await _tell(
            session,
            row,
            DunningAnnounced(**_about(row, server), step=step.step, at=max(due, now + notice)),
            "announced",
            step.step,
        )
        return True

    async def _take(
        self, session: AsyncSession, row: Subscription, server: Server, step: str, now: datetime
    ) -> None:
        row.dunning, row.dunning_at = step, now
        row.announced = row.announced_at = None
        following = self._catalogue.dunning_after(step)
        advanced = DunningAdvanced(
            **_about(row, server),
            step=step,
            next_step=following.step if following else None,
            next_at=now + timedelta(days=following.after_days) if following else None,
        )
        if step == DESTROYED:
            reason = "the subscription has ended" if row.status == "ended" else "the payment was not made"
            await servers.end(session, server, requested_by="dunning", reason=reason)
        else:
            await _serve(session, server, step)
        await _tell(session, row, advanced, "advanced", step)


def _concerned() -> Select[str]:
    """Servers whose subscription owes something, or has owed it."""
    return (
        select(Server.id)
        .join(Subscription, Subscription.id == Server.subscription_id)
        .where(Server.desired == "present", Server.deleted_at.is_(None))
        .where(or_(Subscription.status.in_(("past_due", "ended")), Subscription.dunning.is_not(None)))
        .order_by(Server.id)
    )


async def _restore(session: AsyncSession, row: Subscription, server: Server) -> bool:
    if row.dunning is None:
        return False
    was = row.dunning
    row.dunning = row.dunning_at = row.announced = row.announced_at = None
    await _serve(session, server, "full")
    await _tell(session, row, SubscriptionRestored(**_about(row, server)), "restored", was)
    return True


async def _serve(session: AsyncSession, server: Server, mail_service: str) -> None:
    """The host learns of it by the next generation."""
    if server.mail_service != mail_service:
        server.mail_service = mail_service
        server.generation += 1
        await session.flush()
        await wake(session, server.id)


def _about(row: Subscription, server: Server) -> dict[str, str]:
    return {
        "workspace_id": row.workspace_id,
        "subscription_id": row.id,
        "plan": row.plan,
        "hostname": server.hostname,
    }


async def _tell(session: AsyncSession, row: Subscription, event: EventData, what: str, step: str) -> None:
    row.version += 1
    await outbox.emit(
        session, event, subject=row.id, workspace_id=row.workspace_id, aggregate_version=row.version
    )
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="provisioner",
        action=f"provisioner.dunning.{what}",
        target=row.id,
        data={"step": step},
    )
    _log.warning("dunning", what=what, step=step, subscription_id=row.id)
