"""Claiming servers: a lease says who works on one, a fence makes every later write prove it.

The database's clock alone decides when a lease ends. A worker that was paused past its lease finds that its fence is
no longer the row's, and can change nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import Server
from shared.db.database import Database

CHANNEL = "reconcile"
IDLE_LIMIT_MS = 10_000


def moment() -> float:
    """Seconds on the event loop's clock: the machine's monotonic one, unless a simulation has brought its own."""
    return asyncio.get_running_loop().time()


class LostLease(Exception):
    """Another worker has, or may have, the server now. Nothing more may be done in this pass."""


@dataclass(eq=False)
class Lease:
    """A claim on one server. `remaining()` counts by the event loop's clock from before the claim was sent, so it never
    says more than the database grants."""

    server_id: str
    workspace_id: str
    fence: int
    wakes: int
    woken: bool
    claimed_at: datetime
    seconds: float
    began: float = field(default_factory=moment, repr=False)
    _mark: float = field(default_factory=moment, repr=False)

    def remaining(self) -> float:
        return self._mark + self.seconds - moment()

    def age(self) -> float:
        """Seconds since the claim was answered."""
        return moment() - self.began

    def saw(self, wakes: int) -> None:
        """What is known was read anew: only a wake since the last reading counts."""
        self.woken, self.wakes = wakes > self.wakes, wakes

    def extended_at(self, mark: float) -> None:
        """A full lease was asked for at `mark`."""
        self._mark = mark


def idle_limit() -> ColumnElement[str]:
    """To be selected in a transaction that locks a server's row: a worker that is paused in the middle of it loses the
    connection, and with it the lock. Without that nobody could claim the server, lease or not."""
    return func.set_config("idle_in_transaction_session_timeout", str(IDLE_LIMIT_MS), True)


async def claim(
    session: AsyncSession, owner: str, seconds: float, server_id: str | None = None
) -> Lease | None:
    """Takes the server that has been due longest and that nobody works on, or `server_id`, due or not; None when there
    is none, or somebody works on that one."""
    mark = moment()
    due = (
        select(Server.id)
        .where(
            Server.deleted_at.is_(None),
            Server.next_at <= func.now() if server_id is None else Server.id == server_id,
            or_(Server.lease_until.is_(None), Server.lease_until < func.now()),
        )
        .order_by(Server.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = (
        await session.execute(
            update(Server)
            .where(Server.id == due)
            .values(
                lease_owner=owner,
                lease_until=func.now() + timedelta(seconds=seconds),
                fence=Server.fence + 1,
            )
            .returning(
                Server.id,
                Server.workspace_id,
                Server.fence,
                Server.wakes,
                Server.seen_wakes,
                func.now(),
                idle_limit(),
            )
            .execution_options(synchronize_session=False)
        )
    ).one_or_none()
    if row is None:
        return None
    return Lease(row[0], row[1], row[2], row[3], row[3] > row[4], row[5], seconds, _mark=mark)


_HELD = (
    select(Server, func.set_config("idle_in_transaction_session_timeout", bindparam("idle_limit"), True))
    .where(
        Server.id == bindparam("server_id"),
        Server.fence == bindparam("fence"),
        Server.lease_until > func.now(),
    )
    .with_for_update()
    .execution_options(populate_existing=True)
)


async def hold(session: AsyncSession, lease: Lease) -> Server:
    """The server's row, locked until the transaction ends. Raises LostLease unless the lease is still ours."""
    given = {"server_id": lease.server_id, "fence": lease.fence, "idle_limit": str(IDLE_LIMIT_MS)}
    server: Server | None = await session.scalar(_HELD, given)
    if server is None:
        raise LostLease(lease.server_id)
    return server


async def renew(database: Database, lease: Lease) -> None:
    """A full lease from now on. Raises LostLease."""
    mark = moment()
    async with database.transaction() as session:
        server = await hold(session, lease)
        await session.execute(
            update(Server)
            .where(Server.id == server.id)
            .values(lease_until=func.now() + timedelta(seconds=lease.seconds))
            .execution_options(synchronize_session=False)
        )
    lease.extended_at(mark)


async def release(session: AsyncSession, lease: Lease, after: float) -> None:
    """Gives the server back, to be looked at again in `after` seconds, or at once when it was woken meanwhile.

    Call it last in a transaction that began with `hold`.
    """
    later = func.now() + timedelta(seconds=after)
    await session.execute(
        update(Server)
        .where(Server.id == lease.server_id, Server.fence == lease.fence)
        .values(
            lease_owner=None,
            lease_until=None,
            seen_wakes=lease.wakes,
            next_at=case((Server.wakes > lease.wakes, func.now()), else_=later),
        )
        .execution_options(synchronize_session=False)
    )


async def wake(session: AsyncSession, server_id: str) -> None:
    """Makes the server due now, and lets a pass that is under way know that there is more to look at."""
    await session.execute(
        update(Server)
        .where(Server.id == server_id, Server.deleted_at.is_(None))
        .values(wakes=Server.wakes + 1, next_at=func.now())
        .execution_options(synchronize_session=False)
    )
    await session.execute(select(func.pg_notify(CHANNEL, server_id)))
