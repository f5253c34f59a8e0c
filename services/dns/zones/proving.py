"""Looking for the proof of a zone, and writing down what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from services.dns.models import Zone, ZoneProof
from services.dns.ports import Observer
from services.dns.servers.repository import wake_namesets
from services.dns.zones import repository
from services.dns.zones.proof import Proof, Prover
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.dns_events import ZoneProven
from shared.db.database import Database
from shared.ids import new_id

NEVER = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class ZonePace:
    """Seconds between tries of a proof, patience with it, between looks at a steady zone, and a plan's life."""

    proof: float = 5.0
    patience: float = 7 * 86400.0
    steady: float = 300.0
    plan_ttl: float = 1800.0


class Proving:
    def __init__(
        self, database: Database, observer: Observer, prover: Prover, pace: ZonePace, clock: Clock
    ) -> None:
        self._database, self._observer, self._prover = database, observer, prover
        self._pace, self._clock = pace, clock

    async def run(self, zone: Zone) -> timedelta:
        """One try. Returns when to look at the zone next."""
        proof = await self._prover.prove(zone)
        secure = await self.signed(zone) if proof.proven else None
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

    async def signed(self, zone: Zone) -> bool:
        """Whether the zone's answers validate: its NS set is asked for through the validating resolver."""
        sighting = await self._observer.look(zone.name, zone.name, "NS", lambda _: True)
        return sighting.resolver is not None and sighting.resolver.authenticated


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
