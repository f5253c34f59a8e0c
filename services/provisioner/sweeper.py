"""What carries our tag and belongs to nobody costs money and keeps an address: it is found, held, and deleted.

Careful on purpose: a thing must be seen twice and be older than the quiet window, then waits in quarantine, and only a
few are deleted in one run. After a restore from backup the sweeper starts dry: what the database has forgotten is not
for it to judge.

The lists that it reads show too which of our own servers were changed behind our back: those are looked at at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import Counter, Gauge

from services.provisioner.models import SweepFinding
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
from shared.observability.logging import get_logger

UNOWNED = Gauge("sc_sweep_unowned", "Things at the cloud that belong to nobody")
SWEPT = Counter("sc_sweep_deleted_total", "Things that the sweeper has deleted", ["kind"])
NEEDED_SIGHTINGS = 2
OPEN = ("seen", "quarantined")

_log = get_logger("sweeper")


@dataclass(frozen=True)
class Sighting:
    """One thing at the cloud with our environment's tag."""

    kind: str
    zone: str
    id: str
    tags: tuple[str, ...]


class Findings(Protocol):
    """What was found, and what it belongs to."""

    def leading(self) -> AbstractAsyncContextManager[bool]:
        """False when another one sweeps."""
        ...

    async def notice(self, zone: str, instances: Sequence[CloudInstance]) -> Sequence[str]:
        """Ids of the servers that do not look as they should in this list; they are due now (`drift.py`)."""
        ...

    async def unowned(self, seen: Sequence[Sighting]) -> list[Sighting]:
        """Without what is bound to a row of ours, or what a try may have made whose answer is still awaited."""
        ...

    async def note(self, unowned: Sequence[Sighting], zones: Sequence[str]) -> None:
        """One more sighting of each; those of these zones that were not seen have found an owner, or their end."""
        ...

    async def quarantine(self, older_than: float) -> list[SweepFinding]:
        """Takes in what was seen often enough, for the first time `older_than` seconds ago, but nothing of a server
        that is held because the books have lost its machine."""
        ...

    async def due(self, older_than: float, limit: int) -> list[SweepFinding]:
        """At most `limit` that have been in quarantine for `older_than` seconds; of held servers none."""
        ...

    async def deleted(self, finding_id: str) -> None: ...
    async def open(self) -> list[SweepFinding]: ...


class Sweeper:
    """One run looks at every zone. Several workers may call it; one sweeps at a time."""

    def __init__(
        self, findings: Findings, cloud: CloudPort, settings: WorkerSettings, catalogue: Catalogue
    ) -> None:
        self._findings = findings
        self._cloud = cloud
        self._settings = settings
        self._zones = catalogue.zones()

    async def run(self, *, dry_run: bool | None = None) -> list[SweepFinding]:
        """The open findings after this run. `dry_run` replaces the setting."""
        dry = self._settings.sweep_dry_run if dry_run is None else dry_run
        async with self._findings.leading() as leading:
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
            await self._findings.note(unowned, swept)
            if not dry:
                await self._quarantine()
                await self._delete()
        return await self._findings.open()

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
            Sighting(kind, zone, item.id, tuple(item.tags))
            for kind, items in shown.items()
            for item in items
            if tag in item.tags  # whatever the cloud's filter takes for the same
        ]
        for server_id in await self._findings.notice(zone, instances):
            _log.warning("looks changed at the cloud", server_id=server_id, zone=zone)
        return await self._findings.unowned(seen)

    async def _quarantine(self) -> None:
        for row in await self._findings.quarantine(self._settings.quiet_window_seconds):
            _log.warning("unowned", kind=row.kind, zone=row.zone, external_id=row.external_id, tags=row.tags)

    async def _delete(self) -> None:
        """At most `sweep_cap` things; what is in use by another finding waits for the next run."""
        due = await self._findings.due(self._settings.sweep_quarantine_seconds, self._settings.sweep_cap)
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
        await self._findings.deleted(row.id)
        SWEPT.labels(row.kind).inc()
        _log.warning("swept", kind=row.kind, zone=row.zone, external_id=row.external_id)
