"""Carrying out the plan that was approved: once, in one batch, and only while it fits the zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.dns.models import RecordPlan, Zone
from services.dns.ownership import Target, outcome_unknown
from services.dns.planner import Plan, fingerprint, plan
from services.dns.plans import repository as plans
from services.dns.ports import DnsProvider, ProviderRefused, ProviderUnreachable
from services.dns.records.model import ActualRecord, DesiredRecord, Owned
from services.dns.safety import Limits, UnsafePlan, check_deletes
from services.dns.servers.repository import wake_namesets
from services.dns.zone_writer import ZoneWriter
from shared import audit
from shared.clock import Clock
from shared.db.database import Database
from shared.observability.logging import get_logger

_log = get_logger("plans")

_CHANGED = "The zone changed after the plan was made. A new plan is ready to be looked at."
_SENT = "sent"
_UNKNOWN_OUTCOME = timedelta(seconds=30)


class PlanApplier:
    def __init__(self, database: Database, writer: ZoneWriter, clock: Clock, limits: Limits) -> None:
        self._database, self._writer, self._clock, self._limits = database, writer, clock, limits

    async def run(
        self,
        zone: Zone,
        target: Target,
        provider: DnsProvider,
        desired: Sequence[DesiredRecord],
        actual: Sequence[ActualRecord],
        owned: Sequence[Owned],
        includes: Mapping[str, str],
    ) -> bool:
        """True when the zone may have changed by it."""
        async with self._database.transaction() as session:
            approved = await plans.approved(session, zone.id)
        if approved is None:
            return False
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


def _for_plan(target: Target, approved: RecordPlan) -> Target:
    return Target(target.workspace_id, target.zone_id, target.provider_zone_id, None, approved.id)
