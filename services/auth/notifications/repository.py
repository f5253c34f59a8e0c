"""Rows of mails to be sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, Member, Notification, Workspace
from services.auth.notifications.kinds import BY_NAME, Kind
from shared.ids import uuid7_hex


def enqueue(
    session: AsyncSession,
    kind: str,
    reference: str,
    *,
    now: datetime,
    account_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """A mail that goes out if, and only if, this transaction commits. `kind` is a row of `kinds.py`."""
    if kind not in BY_NAME:
        raise LookupError(f"{kind} is no kind of mail: add a row to notifications/kinds.py")
    session.add(
        Notification(
            id=f"ntf_{uuid7_hex()}",
            kind=kind,
            reference=reference,
            account_id=account_id,
            data=data or {},
            created_at=now,
            next_attempt_at=now,
        )
    )


async def enqueue_collapsed(
    session: AsyncSession,
    kind: Kind,
    reference: str,
    *,
    now: datetime,
    account_id: str,
    data: dict[str, Any],
) -> None:
    """As `enqueue`; but a mail of this kind about this subject that still waits takes the news in, and after one
    was sent the next waits until the kind's quiet time is over."""
    key = f"{kind.name}/{account_id}/{reference}"
    last = func.max(func.coalesce(Notification.sent_at, Notification.created_at))
    begun = Notification.collapse_key == key, Notification.state.in_(("pending", "sent"))
    sent = (await session.execute(select(last).where(*begun, Notification.attempts > 0))).scalar_one()
    statement = insert(Notification).values(
        id=f"ntf_{uuid7_hex()}",
        kind=kind.name,
        reference=reference,
        account_id=account_id,
        data=data,
        created_at=now,
        next_attempt_at=now if sent is None else max(now, sent + kind.quiet),
        collapse_key=key,
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Notification.collapse_key],
            index_where=text("state = 'pending' and attempts = 0"),
            set_={"data": statement.excluded.data, "times": Notification.times + 1},
        )
    )


async def one_at_a_time(session: AsyncSession, address: str) -> None:
    """Holds back others who queue a mail to the same address on a stranger's word, so that a limit on such mails is
    counted truly. Ends with the transaction."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(address, 0))))


async def claim_due(
    session: AsyncSession, now: datetime, *, limit: int, lease: timedelta
) -> list[Notification]:
    """Due mails, in the order in which they were queued, put off by the lease, so that another worker leaves them
    alone while this one sends."""
    due = (
        select(Notification.id)
        .where(Notification.state == "pending", Notification.next_attempt_at <= now)
        .order_by(Notification.next_attempt_at, Notification.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(Notification)
        .where(Notification.id.in_(due.scalar_subquery()))
        .values(next_attempt_at=now + lease, attempts=Notification.attempts + 1)
        .returning(Notification)
    )
    claimed = (await session.execute(statement)).scalars()
    # UPDATE ... RETURNING keeps no order of its subquery.
    return sorted(claimed, key=lambda mail: (mail.created_at, mail.id))


async def settle(session: AsyncSession, notification_id: str, **values: Any) -> None:
    await session.execute(update(Notification).where(Notification.id == notification_id).values(**values))


async def forget_before(session: AsyncSession, moment: datetime) -> int:
    """Removes mails that were settled and queued before `moment`; how many."""
    statement = delete(Notification).where(Notification.state != "pending", Notification.created_at < moment)
    removed = await session.execute(statement.returning(Notification.id))
    return len(removed.all())


async def sent_to_account_since(session: AsyncSession, account_id: str, kind: str, since: datetime) -> int:
    statement = select(func.count()).where(
        Notification.account_id == account_id, Notification.kind == kind, Notification.created_at >= since
    )
    return (await session.execute(statement)).scalar_one()


async def account(session: AsyncSession, account_id: str) -> Account | None:
    return await session.get(Account, account_id)


async def members_with_role(session: AsyncSession, workspace_id: str, roles: Sequence[str]) -> list[str]:
    """Account ids of the members that have one of these roles."""
    statement = select(Member.account_id).where(Member.workspace_id == workspace_id, Member.role.in_(roles))
    return list((await session.execute(statement)).scalars())


async def is_member(session: AsyncSession, workspace_id: str, account_id: str) -> bool:
    statement = select(Member.id).where(Member.workspace_id == workspace_id, Member.account_id == account_id)
    return (await session.execute(statement)).first() is not None


async def workspace_name(session: AsyncSession, workspace_id: str) -> str | None:
    return (
        await session.execute(select(Workspace.name).where(Workspace.id == workspace_id))
    ).scalar_one_or_none()
