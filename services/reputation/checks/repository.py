"""Rows of addresses, checks and listings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import and_, delete, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.reputation.checks.schemas import ListResult, Verdict
from services.reputation.models import Address, Check, EndedServer, ListingRow
from shared.ids import new_id


class Repository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def locked(self, address_id: str) -> Address | None:
        """The address, locked until commit."""
        return await self._session.get(Address, address_id, with_for_update=True)

    async def add_address(self, **values: object) -> bool:
        """False when it is known already."""
        statement = insert(Address).values(**values).on_conflict_do_nothing().returning(Address.id)
        return (await self._session.execute(statement)).first() is not None

    async def has_ended(self, workspace_id: str, server_id: str) -> bool:
        row = await self._session.get(EndedServer, server_id)
        return row is not None and row.workspace_id == workspace_id

    async def next_version(self, address_id: str) -> int:
        """The version of the fact about to be published."""
        statement = (
            update(Address)
            .where(Address.id == address_id)
            .values(version=Address.version + 1)
            .returning(Address.version)
        )
        return int((await self._session.execute(statement)).scalar_one())

    async def add_check(
        self, address: Address, at: datetime, verdict: Verdict, results: Sequence[ListResult]
    ) -> None:
        self._session.add(
            Check(
                id=new_id("chk"),
                workspace_id=address.workspace_id,
                address_id=address.id,
                at=at,
                verdict=verdict,
                results=[item.model_dump() for item in results],
            )
        )
        await self._session.flush()

    async def make_live(
        self, workspace_id: str, server_id: str, addresses: Sequence[str], at: datetime
    ) -> None:
        """The server's addresses in use are watched from now on; its other ones are not."""
        for_server = and_(Address.workspace_id == workspace_id, Address.server_id == server_id)
        await self._session.execute(
            update(Address)
            .where(for_server, Address.address.in_(addresses), Address.state == "candidate")
            .values(state="live", next_check_at=at)
        )
        await self._session.execute(
            update(Address).where(for_server, Address.state == "candidate").values(next_check_at=None)
        )

    async def release(self, workspace_id: str, address_id: str) -> None:
        await self._session.execute(
            update(Address)
            .where(Address.id == address_id, Address.workspace_id == workspace_id)
            .values(state="released", next_check_at=None)
        )

    async def end_server(self, workspace_id: str, server_id: str) -> None:
        """Forgets the server's addresses with their checks and listings."""
        await self._session.execute(
            insert(EndedServer).values(id=server_id, workspace_id=workspace_id).on_conflict_do_nothing()
        )
        await self._session.execute(
            delete(Address).where(Address.workspace_id == workspace_id, Address.server_id == server_id)
        )

    async def end_workspace(self, workspace_id: str) -> None:
        for model in (Address, EndedServer):
            await self._session.execute(delete(model).where(model.workspace_id == workspace_id))

    async def of_server(self, server_id: str) -> Sequence[Address]:
        statement = select(Address).where(Address.server_id == server_id).order_by(Address.id)
        return (await self._session.scalars(statement)).all()

    async def latest_checks(self, address_ids: Sequence[str]) -> dict[str, Check]:
        statement = (
            select(Check)
            .where(Check.address_id.in_(address_ids))
            .ext(distinct_on(Check.address_id))
            .order_by(Check.address_id, Check.at.desc())
        )
        return {row.address_id: row for row in await self._session.scalars(statement)}

    async def listings(self, address_ids: Sequence[str]) -> Sequence[ListingRow]:
        statement = (
            select(ListingRow)
            .where(ListingRow.address_id.in_(address_ids))
            .order_by(ListingRow.first_seen, ListingRow.blacklist)
        )
        return (await self._session.scalars(statement)).all()

    async def open_listings(self, address_id: str) -> dict[str, ListingRow]:
        """Listings that have not ended, by list."""
        statement = select(ListingRow).where(
            ListingRow.address_id == address_id, ListingRow.cleared_at.is_(None)
        )
        return {row.blacklist: row for row in await self._session.scalars(statement)}

    async def claim_due(self, now: datetime, lease_until: datetime, limit: int) -> Sequence[Address]:
        """Addresses whose check is due. They come again at `lease_until` if nobody writes a result by then."""
        due = (
            select(Address.id)
            .where(Address.next_check_at <= now)
            .order_by(Address.next_check_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claimed = await self._session.scalars(
            update(Address)
            .where(Address.id.in_(due.scalar_subquery()))
            .values(next_check_at=lease_until)
            .returning(Address)
        )
        return claimed.all()

    def add_listing(self, row: ListingRow) -> None:
        self._session.add(row)

    async def forget_checks_before(self, moment: datetime) -> None:
        await self._session.execute(delete(Check).where(Check.at < moment))
