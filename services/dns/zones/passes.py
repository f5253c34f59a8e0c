"""One pass over a customer's zone: prove it, take out what is no longer wanted, apply what was approved, plan anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError

from services.dns.desired import zone_desired
from services.dns.models import RecordPlan, Zone, ZoneProof
from services.dns.planner import Plan, fingerprint, plan
from services.dns.plans import repository as plans
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
from services.dns.safety import Limits, UnsafePlan, check_deletes
from services.dns.servers.repository import wake_namesets
from services.dns.verification import record_sets
from services.dns.zone_writer import Target, ZoneWriter, drop_owned, mark_all_missing, outcome_unknown
from services.dns.zones import repository
from services.dns.zones.proof import Proof, Prover
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.dns_events import ZoneProven
from shared.db.database import Database
from shared.errors import DomainError
from shared.ids import new_id
from shared.observability.logging import get_logger

_log = get_logger("zones")

NEVER = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class ZonePace:
    """Seconds between tries of a proof, patience with it, between looks at a steady zone, and a plan's life."""

    proof: float = 5.0
    patience: float = 7 * 86400.0
    steady: float = 300.0
    plan_ttl: float = 1800.0


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
        self._prover = Prover(tokens, factory, observer)

    async def run(self, zone: Zone) -> None:
        """One pass over a claimed row."""
        try:
            if zone.state != "proven":
                next_in = await self._prove(zone)
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

    # -- proof -----------------------------------------------------------------------------------------------

    async def _prove(self, zone: Zone) -> timedelta:
        proof = await self._prover.prove(zone)
        secure = await self._signed(zone) if proof.proven else None
        try:
            return await self._note(zone, proof, secure)
        except IntegrityError:  # another workspace proved the name in this very moment
            return await self._note(zone, _taken(proof), None)

    async def _note(self, zone: Zone, proof: Proof, secure: bool | None) -> timedelta:
        now = self._clock.now()
        async with self._database.transaction() as session:
            row = await repository.held(session, zone)
            if row is None:
                return timedelta()
            if proof.proven and await repository.proven_elsewhere(session, row):
                proof = _taken(proof)
            if proof.detail != row.detail or proof.proven:
                session.add(_trace(row, proof, now))
            row.detail = proof.detail or None
            row.attempts += 1
            if not proof.proven:
                return self._again(row, now)
            row.state, row.proven_at, row.dnssec = "proven", now, secure
            row.provider_zone_id, row.name_servers = proof.provider_zone_id, list(proof.name_servers)
            row.version += 1
            event = ZoneProven(workspace_id=row.workspace_id, zone_id=row.id, name=row.name)
            await outbox.emit(
                session, event, subject=row.id, workspace_id=row.workspace_id, aggregate_version=row.version
            )
            await audit.record(
                session, workspace_id=row.workspace_id, actor="dns", action="dns.zone.proven", target=row.id,
                data={"name": row.name, "method": row.method},
            )  # fmt: skip
            await wake_namesets(session, row.workspace_id, now)
            return timedelta()

    def _again(self, row: Zone, now: datetime) -> timedelta:
        """When to try next. Quick at first, since somebody is waiting; at last not at all, unless asked."""
        if (now - row.created_at).total_seconds() > self._pace.patience:
            row.state = "failed"
            return NEVER
        row.state = "proving"
        return timedelta(seconds=min(self._pace.proof * (1 + row.attempts // 20), 900.0))

    async def _signed(self, zone: Zone) -> bool:
        """Whether the zone's answers validate: its NS set is asked for through the validating resolver."""
        sighting = await self._observer.look(zone.name, zone.name, "NS", lambda _: True)
        return sighting.resolver is not None and sighting.resolver.authenticated

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
        if await self._apply_approved(zone, target, provider, desired, actual, owned):
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

    async def _apply_approved(
        self,
        zone: Zone,
        target: Target,
        provider: DnsProvider,
        desired: Sequence[DesiredRecord],
        actual: Sequence[ActualRecord],
        owned: Sequence[Owned],
    ) -> bool:
        async with self._database.transaction() as session:
            approved = await plans.approved(session, zone.id)
        if approved is None:
            return False
        includes = await self._includes(desired, actual)
        result = plan(desired, actual, owned, accepted=approved.accepted, includes=includes)
        if approved.fingerprint != fingerprint(desired, actual, owned):
            await self._changed_since(zone, approved, result)
            return False
        mergeable = {item.actual.id for item in result.updates if item.merged}
        try:
            check_deletes(result, self._limits, accepted=approved.accepted)
            await self._note_sent(approved)
            await self._writer.carry_out(_for_plan(target, approved), provider, result, owned, mergeable)
        except (UnsafePlan, ProviderRefused) as error:
            await self._finish(zone, approved, "failed", str(error))
            return True
        await self._finish(zone, approved, "applied", None)
        return True

    async def _note_sent(self, approved: RecordPlan) -> None:
        async with self._database.transaction() as session:
            row = await session.get_one(RecordPlan, approved.id, with_for_update=True)
            row.detail = _SENT

    async def _changed_since(self, zone: Zone, approved: RecordPlan, result: Plan) -> None:
        """The zone is not what it was when the plan was made: by our own batch, whose answer was lost, or by others."""
        if approved.detail == _SENT:
            if not result.changes:
                await self._finish(zone, approved, "applied", None)
                return
            async with self._database.transaction() as session:
                if await outcome_unknown(session, approved.id, self._clock.now() - _UNKNOWN_OUTCOME):
                    raise ProviderUnreachable("It is not known yet what became of the batch.")
        await self._finish(zone, approved, "stale", _CHANGED)

    async def _finish(self, zone: Zone, approved: RecordPlan, state: str, detail: str | None) -> None:
        now = self._clock.now()
        async with self._database.transaction() as session:
            row = await session.get_one(RecordPlan, approved.id, with_for_update=True)
            row.state, row.detail = state, detail
            row.applied_at = now if state == "applied" else None
            await audit.record(
                session, workspace_id=zone.workspace_id, actor="dns", action=f"dns.plan.{state}", target=row.id,
                outcome="ok" if state == "applied" else "failed", reason=detail, data={"zone_id": zone.id},
            )  # fmt: skip
            await wake_namesets(session, zone.workspace_id, now)
        _log.info("plan", zone_id=zone.id, plan_id=approved.id, state=state, detail=detail)

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
        secure = await self._signed(zone)
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


_CHANGED = "The zone changed after the plan was made. A new plan is ready to be looked at."
_SENT = "sent"
_UNKNOWN_OUTCOME = timedelta(seconds=30)


def _taken(proof: Proof) -> Proof:
    """Said only to somebody who does control the name."""
    return Proof(
        False, "This zone is in use in another workspace.", proof.provider_zone_id, proof.name_servers
    )


def _trace(row: Zone, proof: Proof, now: datetime) -> ZoneProof:
    return ZoneProof(
        id=new_id("prf"),
        workspace_id=row.workspace_id,
        zone_id=row.id,
        method=row.method,
        outcome="proven" if proof.proven else "not_proven",
        detail=proof.detail,
        evidence=dict(proof.evidence),
        checked_at=now,
    )


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


def _for_plan(target: Target, approved: RecordPlan) -> Target:
    return Target(target.workspace_id, target.zone_id, target.provider_zone_id, None, approved.id)
