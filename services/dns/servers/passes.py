"""One pass over a name set: write what is missing in our zone, look at everything, say what is true."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.dns.desired import NameRules, best_zone, wanted_of
from services.dns.models import PLATFORM, Nameset, OwnedRecord, RecordState, Zone
from services.dns.ownership import Target
from services.dns.pacing import Pace
from services.dns.planner import Plan, plan
from services.dns.platform import Platform
from services.dns.ports import Observer, ProviderError, ProviderUnreachable
from services.dns.records.model import DesiredRecord
from services.dns.records.sets import domain_records, host_records, reverse_records
from services.dns.safety import Limits, UnsafePlan
from services.dns.servers import repository
from services.dns.servers.repository import Outcome
from services.dns.servers.states import Expectation, absence, freshly_written, look_again, state_row, unserved
from services.dns.verification import Judgement, judge, record_sets
from services.dns.zone_writer import ZoneWriter
from shared.audit import audit
from shared.clock import Clock
from shared.contracts.dns_events import DomainState
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.db.database import Database
from shared.observability.logging import get_logger

_log = get_logger("names")

HEAL_EVERY = timedelta(seconds=15)
UNKNOWN_OUTCOME = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the database knows about a name set before a pass."""

    zones: Sequence[Zone]
    owned: Sequence[OwnedRecord]
    states: dict[tuple[str, str], RecordState]
    conflicts: dict[tuple[str, str], str]


class NamesetPasses:
    """Runs passes. `patience`: after so long, records in zones that can no longer be reached are given up."""

    def __init__(
        self,
        database: Database,
        observer: Observer,
        writer: ZoneWriter,
        platform: Platform,
        rules: NameRules,
        pace: Pace,
        clock: Clock,
        *,
        patience: timedelta = timedelta(days=3),
        limits: Limits | None = None,
    ) -> None:
        self._database, self._observer, self._writer, self._platform = database, observer, writer, platform
        self._rules, self._pace, self._clock, self._patience = rules, pace, clock, patience
        self._limits = limits or Limits()

    async def run(self, row: Nameset) -> None:
        """One pass over a claimed row."""
        failed: float | None = None
        outcome = Outcome(problem=row.problem)
        try:
            memory = await self._remember(row)
            if row.withdrawn:
                outcome = await self._withdraw(row, memory)
            elif row.problem is None:
                outcome = await self._publish(row, memory)
        except (ProviderError, UnsafePlan) as error:
            _log.warning("provider", server_id=row.server_id, kind=type(error).__name__, reason=str(error))
            failed = error.retry_after if isinstance(error, ProviderUnreachable) else 5.0
        now = self._clock.now()
        settled = outcome.forward and outcome.reverse and all(item.verified for item in outcome.domains)
        next_in = self._pace.next_look(
            settled=settled or row.problem is not None, waiting=now - row.pending_since, failed=failed
        )
        async with self._database.transaction() as session:
            if failed is not None:
                await repository.release(session, row, now=now, next_in=next_in)
            elif not await repository.save(session, row, outcome, now=now, next_in=next_in):
                await repository.release(session, row, now=now, next_in=timedelta())

    async def _remember(self, row: Nameset) -> Memory:
        async with self._database.transaction() as session:
            zones = await repository.zones_of(session, row.workspace_id)
            return Memory(
                zones,
                await repository.owned_by(session, row.server_id),
                {
                    (state.name, state.type): state
                    for state in await repository.states_of(session, row.server_id)
                },
                await repository.conflicts_in(session, [zone.id for zone in zones]),
            )

    # -- names that are wanted -----------------------------------------------------------------------------

    async def _publish(self, row: Nameset, memory: Memory) -> Outcome:
        wanted = wanted_of(row)
        host = host_records(wanted, self._rules.caa_issuers)
        heals = self._should_heal(row, memory)
        written = row.written_generation < row.generation or heals
        if written:
            await self._write_host(row, host)
            memory = await self._remember(row)
        expectations = self._expectations(wanted, host, memory)
        states = await self._look(row, expectations, memory)
        return self._summary(wanted, expectations, states, Outcome(written=written, healed=heals))

    def _should_heal(self, row: Nameset, memory: Memory) -> bool:
        """Our own zone shows something else than we wrote: look into it at the provider, not too often."""
        now = self._clock.now()
        if row.healed_at is not None and now - row.healed_at < HEAL_EVERY:
            return False
        return any(
            state.zone_id == PLATFORM and state.state in {"missing", "wrong"}
            for state in memory.states.values()
        )

    async def _write_host(self, row: Nameset, host: Sequence[DesiredRecord]) -> Plan:
        provider, zone = await self._platform.open()
        target = Target(row.workspace_id, PLATFORM, zone.id, server_id=row.server_id)
        actual, owned = await self._writer.survey(target, provider)
        names = {record.name for record in host} | {item.name for item in owned}
        result = plan(host, [record for record in actual if record.name in names], owned)
        for conflict in result.conflicts:
            _log.error("platform zone", server_id=row.server_id, conflict=conflict.id)
        batches = _in_batches(result, self._limits.batch)
        for part in batches:
            changes = await self._writer.carry_out(target, provider, part, owned)
            _log.info("platform zone written", server_id=row.server_id, changes=changes)
        return result

    def _expectations(
        self, wanted: ServerDnsDesired, host: Sequence[DesiredRecord], memory: Memory
    ) -> list[Expectation]:
        platform = self._rules.platform_zone
        expected = [Expectation(item, platform, PLATFORM) for item in record_sets(host)]
        expected += [
            Expectation(item, None, None, reverse=True) for item in record_sets(reverse_records(wanted))
        ]
        for domain in wanted.domains:
            zone = best_zone(domain.name, memory.zones)
            records = domain_records(wanted.server_id, wanted.hostname, domain)
            expected += [
                Expectation(item, zone.name if zone else None, zone.id if zone else None)
                for item in record_sets(records)
            ]
        return expected

    async def _look(
        self, row: Nameset, expectations: Sequence[Expectation], memory: Memory
    ) -> list[RecordState]:
        now = self._clock.now()
        return list(
            await asyncio.gather(*(self._look_at(row, expected, memory, now) for expected in expectations))
        )

    async def _look_at(
        self, row: Nameset, expected: Expectation, memory: Memory, now: datetime
    ) -> RecordState:
        wanted = expected.wanted
        before = memory.states.get((wanted.name, wanted.type))
        if before is not None and not look_again(before, wanted, row, now):
            return before
        if expected.zone_name is None and not expected.reverse:
            judgement = Judgement("missing", False, "No proven zone of the workspace holds this name.")
        else:
            sighting = await self._observer.look(expected.zone_name, wanted.name, wanted.type, wanted.holds)
            judgement = judge(
                wanted,
                sighting,
                written=freshly_written(wanted, memory.owned, before, now),
                conflict=memory.conflicts.get((wanted.name, wanted.type)),
            )
        return state_row(row, expected, judgement, before, self._clock.now())

    def _summary(
        self,
        wanted: ServerDnsDesired,
        expectations: Sequence[Expectation],
        states: list[RecordState],
        outcome: Outcome,
    ) -> Outcome:
        found = {(state.name, state.type): state.state for state in states}
        host = [e.wanted for e in expectations if e.zone_id == PLATFORM]
        reverse = [e.wanted for e in expectations if e.reverse]
        addressed = any(item.type in {"A", "AAAA"} for item in host)
        outcome.forward = addressed and all(found[item.name, item.type] == "verified" for item in host)
        outcome.reverse = bool(reverse) and all(found[item.name, item.type] == "verified" for item in reverse)
        outcome.domains = tuple(
            DomainState(
                domain_id=domain.domain_id,
                name=domain.name,
                verified=bool(domain.dkim)
                and all(
                    state.state == "verified" or (not state.required and state.state == "conflict")
                    for state in states
                    if state.domain_id == domain.domain_id
                ),
            )
            for domain in wanted.domains
        )
        outcome.states = states
        return outcome

    # -- names that are withdrawn ----------------------------------------------------------------------------

    async def _withdraw(self, row: Nameset, memory: Memory) -> Outcome:
        """Removes what is ours and waits until no authoritative server shows it any more."""
        if any(item.zone_id == PLATFORM for item in memory.owned) or await self._unsettled(row):
            await self._write_host(row, [])
        if any(item.zone_id != PLATFORM for item in memory.owned):
            async with self._database.transaction() as session:
                await repository.wake_zones(session, row.workspace_id, self._clock.now())
        names = {zone.id: zone.name for zone in memory.zones}
        names[PLATFORM] = self._rules.platform_zone
        expectations = [
            Expectation(absence(state), names[state.zone_id], state.zone_id)
            for state in memory.states.values()
            if state.zone_id in names
        ]
        states = await self._look(row, expectations, memory)
        absent = all(state.state == "verified" or unserved(state) for state in states)
        gone = absent and await self._nothing_left(row)
        return Outcome(forward=gone, reverse=gone, gone=gone, states=[] if gone else states)

    async def _unsettled(self, row: Nameset) -> bool:
        async with self._database.transaction() as session:
            return await repository.open_intents(session, row, self._clock.now() - UNKNOWN_OUTCOME) > 0

    async def _nothing_left(self, row: Nameset) -> bool:
        now = self._clock.now()
        give_up = now - row.pending_since > self._patience
        async with self._database.transaction() as session:
            for left in await repository.forget_missing(session, row.server_id, give_up=give_up):
                await audit.record(
                    session,
                    workspace_id=row.workspace_id,
                    actor="dns",
                    action="dns.record.left_behind",
                    target=left.id,
                    outcome="failed",
                    reason="The zone cannot be reached with its token any more.",
                    data={"name": left.name, "type": left.type, "zone_id": left.zone_id},
                )
            return not await repository.owned_by(
                session, row.server_id
            ) and not await repository.open_intents(session, row, now - UNKNOWN_OUTCOME)


def _in_batches(whole: Plan, limit: int) -> list[Plan]:
    """One atomic batch, unless a withdrawal is larger than a batch may be: deletions may be split."""
    if whole.changes <= limit or whole.creates or whole.updates:
        return [whole]
    return [
        Plan(deletes=whole.deletes[start : start + limit]) for start in range(0, len(whole.deletes), limit)
    ]
