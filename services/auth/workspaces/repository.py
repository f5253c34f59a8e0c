"""Rows of workspaces and members."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Account, ApiKey, Member, Workspace


async def lock_workspace(session: AsyncSession, workspace_id: str) -> Workspace | None:
    """Locked: whoever changes members, keys or the end of a workspace does it one after the other."""
    statement = select(Workspace).where(Workspace.id == workspace_id).with_for_update()
    return (await session.execute(statement)).scalar_one_or_none()


async def workspace(session: AsyncSession, workspace_id: str) -> Workspace | None:
    statement = select(Workspace).where(Workspace.id == workspace_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def of_account(
    session: AsyncSession, account_id: str, *, after: str | None, limit: int
) -> list[tuple[Workspace, str]]:
    """Workspaces that the account is a member of, with its role, oldest first."""
    statement = (
        select(Workspace, Member.role)
        .join(Member, Member.workspace_id == Workspace.id)
        .where(Member.account_id == account_id, Workspace.state != "deleted")
        .order_by(Workspace.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(Workspace.id > after)
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


async def count_created_by(session: AsyncSession, account_id: str) -> int:
    """How many there are; who makes another one at the same time waits for this transaction and counts it."""
    await session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    statement = select(func.count()).where(Workspace.created_by == account_id, Workspace.state != "deleted")
    return (await session.execute(statement)).scalar_one()


async def members(
    session: AsyncSession, workspace_id: str, *, after: str | None, limit: int
) -> list[tuple[Member, Account]]:
    statement = (
        select(Member, Account)
        .join(Account, Account.id == Member.account_id)
        .where(Member.workspace_id == workspace_id)
        .order_by(Member.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(Member.id > after)
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


async def all_members(session: AsyncSession, workspace_id: str) -> list[Member]:
    statement = select(Member).where(Member.workspace_id == workspace_id).order_by(Member.id)
    return list((await session.execute(statement)).scalars())


async def member_of_account(session: AsyncSession, workspace_id: str, account_id: str) -> Member | None:
    statement = select(Member).where(Member.workspace_id == workspace_id, Member.account_id == account_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def member_and_account(
    session: AsyncSession, workspace_id: str, member_id: str
) -> tuple[Member, Account] | None:
    statement = (
        select(Member, Account)
        .join(Account, Account.id == Member.account_id)
        .where(Member.workspace_id == workspace_id, Member.id == member_id)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else (row[0], row[1])


async def maker_of_key(session: AsyncSession, workspace_id: str, key_id: str) -> str | None:
    statement = select(ApiKey.created_by).where(ApiKey.workspace_id == workspace_id, ApiKey.id == key_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def count_owners(session: AsyncSession, workspace_id: str) -> int:
    statement = select(func.count()).where(Member.workspace_id == workspace_id, Member.role == "owner")
    return (await session.execute(statement)).scalar_one()
