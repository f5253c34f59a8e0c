"""What the cloud offers, read by the worker for those who have no key to the cloud: stock, price, quotas.

What cannot be read stays as it was seen last, with the time of that.
"""

from __future__ import annotations

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import CloudLimit, ZoneOffer
from services.provisioner.plans import Catalogue
from services.provisioner.ports import CloudError, CloudPort, Limit, MachineType
from shared.db.database import Database
from shared.observability.logging import get_logger

_log = get_logger("offers")


class Offers:
    """One run reads every zone. Several workers may call it: each row is what one of them saw last."""

    def __init__(self, database: Database, cloud: CloudPort, catalogue: Catalogue) -> None:
        self._database = database
        self._cloud = cloud
        self._zones = catalogue.zones()
        self._wanted = {name for plan in catalogue.plans for name in plan.commercial_types}

    async def run(self) -> None:
        limits: list[Limit] = []
        told = True
        for zone in self._zones:
            try:
                types = await self._cloud.machine_types(zone)
                limits += await self._cloud.limits(zone)
            except CloudError as error:
                _log.warning("zone not read", zone=zone, detail=error.detail)
                told = False
                continue
            async with self._database.transaction() as session:
                await self._note(session, zone, [one for one in types if one.name in self._wanted])
        if told:  # what is used is a sum: with a zone missing it would be too little
            async with self._database.transaction() as session:
                for resource in sorted({one.resource for one in limits}):
                    await self._note_limit(session, [one for one in limits if one.resource == resource])

    async def _note(self, session: AsyncSession, zone: str, types: list[MachineType]) -> None:
        names = [one.name for one in types]
        await session.execute(
            delete(ZoneOffer).where(ZoneOffer.zone == zone, ZoneOffer.commercial_type.not_in(names))
        )
        for one in types:
            seen = {
                "availability": one.availability,
                "monthly_cents": one.monthly_cents,
                "vcpus": one.vcpus,
                "memory_bytes": one.memory_bytes,
                "seen_at": func.now(),
            }
            await session.execute(
                insert(ZoneOffer)
                .values(zone=zone, commercial_type=one.name, **seen)
                .on_conflict_do_update(index_elements=[ZoneOffer.zone, ZoneOffer.commercial_type], set_=seen)
            )

    async def _note_limit(self, session: AsyncSession, limits: list[Limit]) -> None:
        """One resource, as each zone told of it."""
        used = sum(one.used for one in limits)
        seen = {"quota": limits[-1].quota, "used": used, "seen_at": func.now()}
        await session.execute(
            insert(CloudLimit)
            .values(resource=limits[-1].resource, **seen)
            .on_conflict_do_update(index_elements=[CloudLimit.resource], set_=seen)
        )
