"""One pass over a customer's zone: prove it, take out what is no longer wanted, apply what was approved, plan anew."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.dns.desired import zone_desired
from services.dns.models import RecordPlan, Zone
from services.dns.ownership import Target, drop_owned, mark_all_missing
from services.dns.planner import Plan, fingerprint, plan
from services.dns.plans import repository as plans
from services.dns.plans.applying import PlanApplier
from services.dns.plans.content import content_of
from services.dns.ports import (
    DnsProvider,
    Observer,
    ProviderDenied,
    ProviderFactory,
    ProviderRefused,
    ProviderTokens,
    ProviderUnreachable,
    TokenUnknown,
    ZoneUnknown,
)
from services.dns.records import spf
from services.dns.records.model import ActualRecord, DesiredRecord, Owned
from services.dns.safety import Limits
from services.dns.verification import record_sets
from services.dns.zone_writer import ZoneWriter
from services.dns.zones import repository
from services.dns.zones.proof import Prover
from services.dns.zones.proving import Proving, ZonePace
from shared.clock import Clock
from shared.db.database import Database
from shared.errors import DomainError
from shared.ids import new_id
from shared.observability.logging import get_logger

_log = get_logger("zones")


class ZonePasses:
    def __init__(
        self,
        database: Database,
        observer: Observer,
        writer: ZoneWriter,
        tokens: ProviderTokens,
        factory: ProviderFactory,
        pace: ZonePace,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._database, self._observer, self._writer = database, observer, writer
        self._tokens, self._factory, self._pace, self._clock, self._limits = (
            tokens,
            factory,
            pace,
            clock,
            limits,
        )
        self._proving = Proving(database, observer, Prover(tokens, factory, observer), pace, clock)
        self._applier = PlanApplier(database, writer, clock, limits)

    async def run(self, zone: Zone) -> None:
        """One pass over a claimed row."""
        try:
            if zone.state != "proven":
                next_in = await self._proving.run(zone)
            else:
                next_in = await self._maintain(zone)
        except ProviderUnreachable as error:
            _log.warning("provider", zone_id=zone.id, reason=error.reason)
            next_in = timedelta(seconds=max(error.retry_after, 0.2))
        except DomainError as error:  # the vault does not answer
            _log.warning("vault", zone_id=zone.id, reason=error.detail)
            next_in = timedelta(seconds=1)
        async with self._database.transaction() as session:
            await repository.release(session, zone, now=self._clock.now(), next_in=next_in)

    # -- a proven zone -----------------------------------------------------------------------------------------

    async def _maintain(self, zone: Zone) -> timedelta:
        if zone.method == "txt":
            actual = await self._seen_by_hand(zone)
            desired = await self._desired(zone)
            await self._store(zone, plan(desired, actual, []), actual, [], desired)
            return timedelta(seconds=self._pace.steady)
        target = Target(zone.workspace_id, zone.id, zone.provider_zone_id or "")
        try:
            token = await self._tokens.token(zone.workspace_id, zone.provider_token_id or "")
            provider = self._factory(token)
            try:
                return await self._edit(zone, target, provider)
            except ProviderDenied as error:  # a zone that was removed looks like somebody else's
                if await provider.find_zone(zone.name) is None:
                    raise ZoneUnknown(f"{zone.name} is no longer in the account of the token.") from error
                raise
        except ZoneUnknown as error:
            async with self._database.transaction() as session:
                await mark_all_missing(session, target, self._clock.now())
            return await self._no_access(zone, error.reason)
        except (ProviderDenied, TokenUnknown, ProviderRefused) as error:
            return await self._no_access(zone, str(error))

    async def _no_access(self, zone: Zone, reason: str) -> timedelta:
        """The zone cannot be edited at present; its owner has to do something, so haste is of no use."""
        _log.warning("zone not accessible", zone_id=zone.id, reason=reason)
        async with self._database.transaction() as session:
            row = await repository.held(session, zone)
            if row is not None:
                row.detail = reason
                waiting = await plans.approved(session, zone.id)
                if waiting is not None:
                    waiting.state, waiting.detail = "failed", reason
        return timedelta(seconds=30)

    async def _edit(self, zone: Zone, target: Target, provider: DnsProvider) -> timedelta:
        actual, owned = await self._writer.survey(target, provider)
        desired = await self._desired(zone)
        includes = await self._includes(desired, actual)
        if await self._take_out(
            target, provider, plan(desired, actual, owned, includes=includes), owned, desired
        ):
            actual, owned = await self._writer.survey(target, provider)
        if await self._applier.run(zone, target, provider, desired, actual, owned, includes):
            actual, owned = await self._writer.survey(target, provider)
        result = plan(desired, actual, owned, includes=includes)
        await self._store(zone, result, actual, owned, desired, target)
        return timedelta(seconds=self._pace.steady)

    async def _desired(self, zone: Zone) -> list[DesiredRecord]:
        async with self._database.transaction() as session:
            zones = await repository.workspace_zones(session, zone.workspace_id)
            namesets = await repository.workspace_namesets(session, zone.workspace_id)
        return zone_desired(zone, zones, namesets)

    async def _take_out(
        self,
        target: Target,
        provider: DnsProvider,
        result: Plan,
        owned: Sequence[Owned],
        desired: Sequence[DesiredRecord],
    ) -> bool:
        """Withdrawn servers and removed domains lose their records without another question: that was the wish."""
        living = {(record.server_id, record.domain_id) for record in desired}
        deletes = [
            item for item in result.deletes if (item.owned.server_id, item.owned.domain_id) not in living
        ]
        updates = [item for item in result.updates if item.record is None]
        limit = self._limits.batch
        parts = [Plan(deletes=deletes[at : at + limit]) for at in range(0, len(deletes), limit)]
        parts += [Plan(updates=updates[at : at + limit]) for at in range(0, len(updates), limit)]
        mergeable = {item.actual.id for item in updates}
        for part in parts:
            changes = await self._writer.carry_out(target, provider, part, owned, mergeable)
            _log.info("records taken out", zone_id=target.zone_id, changes=changes)
        return bool(parts)

    async def _store(
        self,
        zone: Zone,
        result: Plan,
        actual: Sequence[ActualRecord],
        owned: Sequence[Owned],
        desired: Sequence[DesiredRecord],
        target: Target | None = None,
    ) -> None:
        """Keeps the plan for its readers. One that says the same as before keeps its id."""
        now = self._clock.now()
        content = content_of(result, self._limits)
        mark = fingerprint(desired, actual, owned)
        secure = await self._proving.signed(zone)
        async with self._database.transaction() as session:
            row = await repository.held(session, zone)
            if row is None:
                return
            row.detail, row.dnssec = None, secure
            before = await plans.ready(session, zone.id)
            if before is not None and before.fingerprint == mark and before.content == content:
                before.computed_at, before.expires_at = now, now + self._ttl
            else:
                if before is not None:
                    before.state = "superseded"
                    await session.flush()
                session.add(_new_plan(zone, mark, content, now, self._ttl))
            if target is not None:
                await drop_owned(session, target, result.released)

    @property
    def _ttl(self) -> timedelta:
        return timedelta(seconds=self._pace.plan_ttl)

    async def _seen_by_hand(self, zone: Zone) -> list[ActualRecord]:
        """What the zone's servers show at the names that matter; nobody lists the zone for us."""
        found: list[ActualRecord] = []
        for wanted in record_sets(await self._desired(zone)):
            sighting = await self._observer.look(zone.name, wanted.name, wanted.type, wanted.holds)
            values = {value for answer in sighting.answers for value in answer.values}
            found += [
                ActualRecord(f"{wanted.name}/{wanted.type}/{value}", wanted.name, wanted.type, value)
                for value in sorted(values)
            ]
        return found

    async def _includes(
        self, desired: Sequence[DesiredRecord], actual: Sequence[ActualRecord]
    ) -> dict[str, str]:
        """SPF records that present SPF records include, for counting look-ups; at most as many as may be looked up."""
        names = {record.name for record in desired if record.purpose == "spf"}
        present = [r.value for r in actual if r.name in names and r.type == "TXT" and spf.is_spf(r.value)]
        waiting = [name for value in present for name in spf.included_names(value)]
        found: dict[str, str] = {}
        while waiting and len(found) < 2 * spf.LOOKUP_LIMIT:
            name = waiting.pop(0)
            if name in found:
                continue
            found[name] = next((text for text in await self._observer.text(name) if spf.is_spf(text)), "")
            waiting += spf.included_names(found[name]) if found[name] else []
        return {name: value for name, value in found.items() if value}


def _new_plan(zone: Zone, mark: str, content: dict[str, Any], now: datetime, ttl: timedelta) -> RecordPlan:
    return RecordPlan(
        id=new_id("pln"),
        workspace_id=zone.workspace_id,
        zone_id=zone.id,
        state="ready",
        fingerprint=mark,
        content=content,
        accepted=[],
        computed_at=now,
        expires_at=now + ttl,
    )
