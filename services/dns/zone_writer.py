"""Carrying a plan out: one atomic batch, with an intent row before it, so that a lost answer loses nothing.

Each record that is written carries a comment `sendchief:v1:<server>:<purpose>:<nonce>`, and the intent with that
nonce is stored before the call. When the answer is lost, whatever the batch wrote is found in the next listing by its
comment and becomes ours; intents stay until they are settled, because a listing may lie too.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.batching import Intended, batch_of, intended_records, is_intended
from services.dns.models import OwnedRecord, WriteIntent
from services.dns.ownership import Target, owned_in, owned_rows
from services.dns.planner import Plan
from services.dns.ports import DnsProvider, ProviderDenied, ProviderRefused, ZoneUnknown
from services.dns.records.model import ActualRecord, Owned
from services.dns.safety import Limits, check_batch
from shared.clock import Clock
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.ids import new_id

INTENT_KEPT = timedelta(days=7)


class ZoneWriter:
    def __init__(self, database: Database, clock: Clock, limits: Limits) -> None:
        self._database, self._clock, self._limits = database, clock, limits

    async def survey(self, target: Target, provider: DnsProvider) -> tuple[list[ActualRecord], list[Owned]]:
        """What is in the zone and what of it is ours, after taking in what lost answers have written."""
        actual = await provider.list_records(target.provider_zone_id)
        async with self._database.transaction() as session:
            for intent in await _intents(session, target):
                await self._take_in(session, intent, actual)
            await self._note_missing(session, target, {item.id for item in actual})
            return actual, await owned_in(session, target)

    async def _note_missing(self, session: AsyncSession, target: Target, present: set[str]) -> None:
        for row in await session.scalars(owned_rows(target)):
            if row.provider_record_id in present:
                row.missing_since = None
            elif row.missing_since is None:
                row.missing_since = self._clock.now()

    async def carry_out(
        self,
        target: Target,
        provider: DnsProvider,
        plan: Plan,
        owned: Sequence[Owned],
        mergeable: Collection[str] = (),
    ) -> int:
        """Writes all changes of `plan` at once and returns how many there were.

        Raises `UnsafePlan` before anything happened, `ProviderRefused` when nothing was changed, and
        `ProviderUnreachable` when that is not known: the next survey will tell.
        """
        nonce = secrets.token_hex(4)
        batch, records = batch_of(plan, nonce)
        if not len(batch):
            return 0
        check_batch(
            batch,
            owned_ids={item.provider_record_id for item in owned},
            mergeable_ids=mergeable,
            limits=self._limits,
        )
        intent_id = await self._intend(target, nonce, records)
        crashpoint("dns.before_batch")
        try:
            written = await provider.apply(target.provider_zone_id, batch)
        except (ProviderRefused, ProviderDenied, ZoneUnknown):
            await self._forget(intent_id)
            raise
        crashpoint("dns.after_batch")
        async with self._database.transaction() as session:
            intent = await session.get_one(WriteIntent, intent_id)
            await self._settle(session, intent, written)
        return len(batch)

    async def _intend(self, target: Target, nonce: str, records: Sequence[Intended]) -> str:
        intent_id = new_id("wri")
        async with self._database.transaction() as session:
            session.add(
                WriteIntent(
                    id=intent_id,
                    workspace_id=target.workspace_id,
                    zone_id=target.zone_id,
                    server_id=target.server_id,
                    plan_id=target.plan_id,
                    provider_zone_id=target.provider_zone_id,
                    nonce=nonce,
                    records=[asdict(record) for record in records],
                    created_at=self._clock.now(),
                )
            )
        return intent_id

    async def _forget(self, intent_id: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(delete(WriteIntent).where(WriteIntent.id == intent_id))

    async def _settle(
        self, session: AsyncSession, intent: WriteIntent, written: Sequence[ActualRecord]
    ) -> None:
        """The batch took effect: our rows become what it wrote."""
        for record in intended_records(intent):
            if record.action == "drop":
                await _drop(session, intent, record)
                continue
            match = next((item for item in written if is_intended(item, record)), None)
            if match is not None:
                await self._own(session, intent, record, match)
        await session.delete(intent)

    async def _take_in(
        self, session: AsyncSession, intent: WriteIntent, actual: Sequence[ActualRecord]
    ) -> None:
        """A batch whose answer was lost. It was atomic: one trace of it in the listing means that all took effect.

        Without a trace the intent is kept for a week, since the listing may be the one that is wrong.
        """
        present = {item.id for item in actual}
        records = intended_records(intent)
        traces = [
            item
            for record in records
            if record.action == "own"
            for item in actual
            if is_intended(item, record)
        ]
        only_drops = all(record.action == "drop" for record in records)
        dropped = only_drops and bool(actual) and not any(record.record_id in present for record in records)
        if traces or dropped:
            await self._settle(session, intent, actual)
        elif self._clock.now() - intent.created_at > INTENT_KEPT:
            await session.delete(intent)

    async def _own(
        self, session: AsyncSession, intent: WriteIntent, record: Intended, actual: ActualRecord
    ) -> None:
        values: dict[str, Any] = {
            "purpose": record.purpose,
            "value": record.host if record.merged else actual.value,
            "comment": actual.comment if record.merged else record.comment,
            "merged": record.merged,
            "domain_id": record.domain_id,
            "name": record.name,
            "type": record.type,
            "written_at": self._clock.now(),
            "missing_since": None,
        }
        found = await session.execute(
            update(OwnedRecord)
            .where(
                OwnedRecord.provider_zone_id == intent.provider_zone_id,
                OwnedRecord.provider_record_id == actual.id,
                OwnedRecord.server_id == record.server_id,
            )
            .values(**values)
            .returning(OwnedRecord.id)
        )
        if found.first() is None:
            session.add(
                OwnedRecord(
                    id=new_id("rec"),
                    workspace_id=intent.workspace_id,
                    zone_id=intent.zone_id,
                    provider_zone_id=intent.provider_zone_id,
                    provider_record_id=actual.id,
                    server_id=record.server_id,
                    **values,
                )
            )


async def _intents(session: AsyncSession, target: Target) -> Sequence[WriteIntent]:
    query = select(WriteIntent).where(
        WriteIntent.zone_id == target.zone_id, WriteIntent.provider_zone_id == target.provider_zone_id
    )
    if target.server_id is not None:
        query = query.where(WriteIntent.server_id == target.server_id)
    return (await session.scalars(query.order_by(WriteIntent.created_at))).all()


async def _drop(session: AsyncSession, intent: WriteIntent, record: Intended) -> None:
    await session.execute(
        delete(OwnedRecord).where(
            OwnedRecord.provider_zone_id == intent.provider_zone_id,
            OwnedRecord.provider_record_id == record.record_id,
            OwnedRecord.server_id == record.server_id,
        )
    )
