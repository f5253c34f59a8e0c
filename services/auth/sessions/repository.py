"""Rows of sessions, refresh tokens and failed sign-ins."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Interval, case, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, RefreshToken, Session, SignInFailure, SignInThrottle
from services.auth.sessions.delay import Throttle


async def account_by_email(session: AsyncSession, email: str) -> Account | None:
    return (await session.execute(select(Account).where(Account.email == email))).scalar_one_or_none()


async def account(session: AsyncSession, account_id: str) -> Account | None:
    return await session.get(Account, account_id)


async def authenticated_again(
    session: AsyncSession, session_id: str, account_id: str, now: datetime, methods: list[str]
) -> Session | None:
    """The session, if it is alive."""
    statement = (
        update(Session)
        .where(
            Session.id == session_id,
            Session.account_id == account_id,
            Session.revoked_at.is_(None),
            Session.expires_at > now,
        )
        .values(authenticated_at=now, methods=methods)
        .returning(Session)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def set_password_hash(session: AsyncSession, account_id: str, old: str, new: str) -> None:
    """Only while the old hash is still there: a password changed in between wins."""
    await session.execute(
        update(Account)
        .where(Account.id == account_id, Account.password_hash == old)
        .values(password_hash=new)
    )


async def live_sessions(
    session: AsyncSession, account_id: str, now: datetime, *, after_id: str | None, limit: int
) -> list[Session]:
    statement = (
        select(Session)
        .where(
            Session.account_id == account_id,
            Session.revoked_at.is_(None),
            Session.idle_expires_at > now,
            Session.expires_at > now,
        )
        .order_by(Session.id)
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(Session.id > after_id)
    return list((await session.execute(statement)).scalars())


async def lock_unended(session: AsyncSession, account_id: str, except_id: str | None) -> list[str]:
    """Ids of the account's sessions that have not been ended, locked in one order."""
    statement = (
        select(Session.id)
        .where(Session.account_id == account_id, Session.revoked_at.is_(None))
        .order_by(Session.id)
        .with_for_update()
    )
    if except_id is not None:
        statement = statement.where(Session.id != except_id)
    return list((await session.execute(statement)).scalars())


async def lock_family(session: AsyncSession, token_hash: bytes) -> tuple[Session, RefreshToken] | None:
    """The session of a refresh token, locked, and the token as it is under that lock."""
    family = (
        await session.execute(
            select(Session)
            .join(RefreshToken, RefreshToken.session_id == Session.id)
            .where(RefreshToken.token_hash == token_hash)
            .with_for_update(of=Session)
        )
    ).scalar_one_or_none()
    if family is None:
        return None
    token = await session.get(RefreshToken, token_hash, populate_existing=True)
    return None if token is None else (family, token)


async def revoke(
    session: AsyncSession, session_id: str, now: datetime, reason: str, *, account_id: str | None = None
) -> str | None:
    """The account of the session, or None when it had ended before or, with `account_id`, is another's."""
    statement = (
        update(Session)
        .where(Session.id == session_id, Session.revoked_at.is_(None))
        .values(revoked_at=now, revoke_reason=reason)
        .returning(Session.account_id)
    )
    if account_id is not None:
        statement = statement.where(Session.account_id == account_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def failures(session: AsyncSession, keys: list[bytes]) -> dict[bytes, SignInFailure]:
    """The counters as they are, without a lock."""
    statement = select(SignInFailure).where(SignInFailure.key.in_(keys))
    return {row.key: row for row in (await session.execute(statement)).scalars()}


async def lock_failures(
    session: AsyncSession, keys: list[bytes], now: datetime
) -> dict[bytes, SignInFailure]:
    """The counters, locked; made first where missing, so that the very first tries queue up as well."""
    rows = [{"key": key, "failures": 0, "last_failed_at": now} for key in sorted(keys)]
    await session.execute(insert(SignInFailure).values(rows).on_conflict_do_nothing())
    statement = (
        select(SignInFailure).where(SignInFailure.key.in_(keys)).order_by(SignInFailure.key).with_for_update()
    ).execution_options(populate_existing=True)
    return {row.key: row for row in (await session.execute(statement)).scalars()}


async def forget_failures(session: AsyncSession, keys: list[bytes]) -> None:
    await session.execute(delete(SignInFailure).where(SignInFailure.key.in_(keys)))


async def uncount_attempt(session: AsyncSession, key: bytes) -> None:
    await session.execute(
        update(SignInFailure)
        .where(SignInFailure.key == key, SignInFailure.failures > 0)
        .values(failures=SignInFailure.failures - 1)
    )


async def take(session: AsyncSession, throttle: Throttle, now: datetime) -> bool:
    """Puts one try into the bucket; False when it is full. One statement decides between all who try at once.

    A level that no clock near ours can have written counts as empty: a wrong clock locks nobody out.
    """
    moment, level = SignInThrottle.drained_at.type, SignInThrottle.drained_at
    present = literal(now, moment)
    level_now = case(
        (level > literal(now + 2 * throttle.room, moment), present),
        else_=func.greatest(level, present, type_=moment),
    ) + literal(throttle.cost, Interval())
    statement = (
        insert(SignInThrottle)
        .values(name=throttle.name, drained_at=now + throttle.cost)
        .on_conflict_do_update(
            index_elements=["name"],
            set_={"drained_at": level_now},
            where=level_now <= literal(now + throttle.room, moment),
        )
        .returning(SignInThrottle.name)
    )
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def give_back(session: AsyncSession, throttle: Throttle) -> None:
    await session.execute(
        update(SignInThrottle)
        .where(SignInThrottle.name == throttle.name)
        .values(drained_at=SignInThrottle.drained_at - literal(throttle.cost, Interval()))
    )


async def has_signed_in(session: AsyncSession, account_id: str) -> bool:
    statement = select(Session.id).where(Session.account_id == account_id).limit(1)
    return (await session.execute(statement)).first() is not None
