"""Projection of dns: which zones are proven, and for which workspace."""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert

from services.provisioner.models import ProvenZone
from shared.bus.binding import HandlerContext
from shared.contracts.dns_events import ZoneProven, ZoneRemoved


async def on_zone_proven(context: HandlerContext, event: ZoneProven) -> None:
    """A name is proven for one workspace at a time: an older proof of the same name ends."""
    await context.session.execute(
        update(ProvenZone)
        .where(ProvenZone.name == event.name, ProvenZone.zone_id != event.zone_id)
        .values(proven=False)
    )
    await _set(context, event.zone_id, event.workspace_id, event.name, proven=True)


async def on_zone_removed(context: HandlerContext, event: ZoneRemoved) -> None:
    await _set(context, event.zone_id, event.workspace_id, event.name, proven=False)


async def _set(context: HandlerContext, zone_id: str, workspace_id: str, name: str, *, proven: bool) -> None:
    """The row keeps the highest version seen, also of a removal, so that a late proof does not bring it back."""
    version = context.envelope.aggregateversion
    await context.session.execute(
        insert(ProvenZone)
        .values(zone_id=zone_id, workspace_id=workspace_id, name=name, proven=proven, version=version)
        .on_conflict_do_update(
            index_elements=[ProvenZone.zone_id],
            set_={"proven": proven, "version": version, "name": name},
            where=(ProvenZone.version <= version) & (ProvenZone.workspace_id == workspace_id),
        )
    )
