"""What carries our tag and belongs to nobody costs money and keeps an address: it is found, held, and deleted.

Careful on purpose: a thing must be seen twice and be older than the quiet window, then waits in quarantine, and only a
few are deleted in one run. After a restore from backup the sweeper starts dry: what the database has forgotten is not
for it to judge.

The lists that it reads show too which of our own servers were changed behind our back: those are looked at at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import Counter, Gauge
from sqlalchemy import ARRAY, Text, any_, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.drift import notice
from services.provisioner.models import CloudResource, SweepFinding
from services.provisioner.plans import Catalogue
from services.provisioner.ports import (
    CloudBusy,
    CloudError,
    CloudInstance,
    CloudIp,
    CloudNotFound,
    CloudPort,
    CloudSecurityGroup,
    CloudVolume,
)
from services.provisioner.reconciler import tags
from services.provisioner.settings import WorkerSettings
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.ids import new_id
from shared.observability.logging import get_logger

UNOWNED = Gauge("sc_sweep_unowned", "Things at the cloud that belong to nobody")
SWEPT = Counter("sc_sweep_deleted_total", "Things that the sweeper has deleted", ["kind"])
_LOCK_KEY = 0x5C_05EE
NEEDED_SIGHTINGS = 2

_log = get_logger("sweeper")


@dataclass(frozen=True)
class Sighting:
    """One thing at the cloud with our environment's tag."""

    kind: str
    zone: str
    id: str
    tags: tuple[str, ...]


class Sweeper:
    """One run looks at every zone. Several workers may call it; one sweeps at a time."""

    def __init__(
        self, database: Database, cloud: CloudPort, settings: WorkerSettings, catalogue: Catalogue
    ) -> None:
        self._database = database
        self._cloud = cloud
        self._settings = settings
        self._zones = catalogue.zones()

    async def run(self, *, dry_run: bool | None = None) -> list[SweepFinding]:
        """The open findings after this run. `dry_run` replaces the setting."""
        dry = self._settings.sweep_dry_run if dry_run is None else dry_run
        async with self._leading() as leading:
            if not leading:
                return []
            unowned: list[Sighting] = []
            swept: list[str] = []
            for zone in self._zones:
                try:
                    unowned += await self._unowned(zone)
                    swept.append(zone)
                except CloudError as error:
                    _log.warning("zone not swept", zone=zone, detail=error.detail)
            UNOWNED.set(len(unowned))
            await self._note(unowned, swept)
            if not dry:
                await self._quarantine()
                await self._delete()
        async with self._database.transaction() as session:
            query = select(SweepFinding).where(SweepFinding.state.in_(("seen", "quarantined")))
            return list(await session.scalars(query.order_by(SweepFinding.id)))

    @contextlib.asynccontextmanager
    async def _leading(self) -> AsyncIterator[bool]:
        """Holds an advisory lock for the length of a transaction that does nothing else."""
        async with self._database.transaction() as session:
            yield bool(await session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))))

    async def _unowned(self, zone: str) -> list[Sighting]:
        tag = tags.environment(self._settings.environment)
        instances = await self._cloud.list_instances(zone, tag)
        shown: dict[str, Sequence[CloudInstance | CloudVolume | CloudIp | CloudSecurityGroup]] = {
            "instance": instances,
            "volume": await self._cloud.list_volumes(zone, tag),
            "ip": await self._cloud.list_ips(zone, tag),
            "security_group": await self._cloud.list_security_groups(zone, tag),
        }
        seen = [
            Sighting(kind, zone, item.id, tuple(item.tags)) for kind, items in shown.items() for item in items
        ]
        async with self._database.transaction() as session:
            for server_id in await notice(session, zone, instances):
                _log.warning("looks changed at the cloud", server_id=server_id, zone=zone)
            return await _without_owner(session, seen)

    async def _note(self, unowned: list[Sighting], swept: list[str]) -> None:
        """One more sighting of each; those that were not seen this time have found an owner, or their end."""
        async with self._database.transaction() as session:
            for one in unowned:
                await session.execute(
                    insert(SweepFinding)
                    .values(
                        id=new_id("swp"), kind=one.kind, zone=one.zone, external_id=one.id,
                        tags=list(one.tags), state="seen", seen=1,
                    )
                    .on_conflict_do_update(
                        index_elements=[SweepFinding.kind, SweepFinding.external_id],
                        set_={"seen": SweepFinding.seen + 1, "last_seen_at": func.now()},
                    )
                )  # fmt: skip
            present = {(one.kind, one.id) for one in unowned}
            for row in await session.scalars(
                select(SweepFinding).where(
                    SweepFinding.state.in_(("seen", "quarantined")), SweepFinding.zone.in_(swept)
                )
            ):
                if (row.kind, row.external_id) not in present:
                    row.state = "cleared"

    async def _quarantine(self) -> None:
        old = func.now() - timedelta(seconds=self._settings.quiet_window_seconds)
        async with self._database.transaction() as session:
            for row in await session.scalars(
                select(SweepFinding).where(
                    SweepFinding.state == "seen",
                    SweepFinding.seen >= NEEDED_SIGHTINGS,
                    SweepFinding.first_seen_at <= old,
                )
            ):
                row.state = "quarantined"
                row.quarantined_at = await session.scalar(select(func.now()))
                _log.warning(
                    "unowned", kind=row.kind, zone=row.zone, external_id=row.external_id, tags=row.tags
                )

    async def _delete(self) -> None:
        """At most `sweep_cap` things; what is in use by another finding waits for the next run."""
        old = func.now() - timedelta(seconds=self._settings.sweep_quarantine_seconds)
        async with self._database.transaction() as session:
            due = list(
                await session.scalars(
                    select(SweepFinding)
                    .where(SweepFinding.state == "quarantined", SweepFinding.quarantined_at <= old)
                    .order_by(SweepFinding.id)
                    .limit(self._settings.sweep_cap)
                )
            )
        for row in due:
            try:
                crashpoint("sweep.before_delete")
                gone = await self._destroy(row)
                crashpoint("sweep.after_delete")
            except CloudNotFound:
                gone = True
            except CloudError as error:
                _log.warning("not swept", kind=row.kind, external_id=row.external_id, detail=error.detail)
                continue
            if gone:
                await self._deleted(row)

    async def _destroy(self, row: SweepFinding) -> bool:
        """False when it has to be switched off or detached first."""
        zone, key = row.zone, row.external_id
        if row.kind == "ip":
            await self._cloud.release_ip(zone, key)
        elif row.kind == "security_group":
            await self._cloud.delete_security_group(zone, key)
        elif row.kind == "volume":
            await self._cloud.delete_volume(zone, key)
        else:
            instance = await self._cloud.get_instance(zone, key)
            if instance.state == "running":
                await self._cloud.power_off(zone, key)
                return False
            if instance.state != "stopped":
                raise CloudBusy(f"state {instance.state}")
            for volume_id in instance.volume_ids:  # else nobody would know whose disk it was
                await self._cloud.tag_volume(zone, volume_id, instance.tags)
            crashpoint("sweep.after_tag")
            await self._cloud.delete_instance(zone, key)
        return True

    async def _deleted(self, row: SweepFinding) -> None:
        async with self._database.transaction() as session:
            stored = await session.get_one(SweepFinding, row.id)
            stored.state = "deleted"
            stored.deleted_at = await session.scalar(select(func.now()))
        SWEPT.labels(row.kind).inc()
        _log.warning("swept", kind=row.kind, zone=row.zone, external_id=row.external_id)


async def _without_owner(session: AsyncSession, seen: list[Sighting]) -> list[Sighting]:
    """Those that are neither bound to a row of ours nor what a try may have made whose answer is still awaited. Two
    queries, however many were seen."""
    bound = await session.execute(
        select(CloudResource.kind, CloudResource.external_id).where(
            CloudResource.external_id == any_(literal([one.id for one in seen], ARRAY(Text))),
            CloudResource.state == "bound",
        )
    )
    owned = {(kind, external_id) for kind, external_id in bound}
    left = [one for one in seen if (one.kind, one.id) not in owned]
    rows = [row_id for one in left if (row_id := tags.value(one.tags, "sc-res")) is not None]
    awaited = set(
        await session.scalars(
            select(CloudResource.id).where(
                CloudResource.id == any_(literal(rows, ARRAY(Text))),
                CloudResource.state.in_(("intent", "unknown")),
            )
        )
    )
    return [one for one in left if tags.value(one.tags, "sc-res") not in awaited]
