"""The catalogue, together with what the worker has seen at the cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.errors import NoRoom
from services.provisioner.models import CloudLimit, ZoneOffer
from services.provisioner.plans import Catalogue, Plan
from services.provisioner.regions.schemas import (
    CapacityView,
    OfferView,
    PlanView,
    PriceView,
    RegionsView,
    RegionView,
    ZoneView,
)

STALE_AFTER = timedelta(minutes=20)
ADDRESSES_PER_SERVER = 2
CURRENCY = "eur"
LATER = "GET /v1/regions shows when there is room."


async def offered(session: AsyncSession, catalogue: Catalogue, now: datetime) -> RegionsView:
    seen = await _seen(session)
    limits = list(await session.scalars(select(CloudLimit)))
    return RegionsView(
        items=[
            RegionView(
                id=region.id,
                name=region.name,
                country=region.country,
                zones=[_zone(zone, catalogue.plans, seen.get(zone, {}), now) for zone in region.zones],
            )
            for region in catalogue.regions
        ],
        plans=[_plan(plan) for plan in catalogue.plans],
        capacity=_capacity(limits, now),
    )


async def check_room(
    session: AsyncSession, catalogue: Catalogue, plan: Plan, zone: str, now: datetime
) -> None:
    """Nothing is sold that is known to be nowhere. Raises NoRoom when neither the zone nor one that may stand in for it
    has a size of the plan, or when our limits leave no server. Only what was seen lately is believed."""
    capacity = _capacity(list(await session.scalars(select(CloudLimit))), now)
    if capacity.servers_left == 0 and not capacity.stale:
        raise NoRoom("No more servers can be made anywhere for now.", next_action=LATER)
    seen = await _seen(session)
    full = [one for one in catalogue.zones() if _is_full(_offer(plan, seen.get(one, {}), now))]
    places = catalogue.places(zone)
    if set(places) <= set(full):
        others = [one for one in catalogue.zones() if one not in full]
        raise NoRoom(
            f"There is no room for the plan {plan.id} in {' or '.join(places)}.",
            field="body.zone",
            next_action=f"Take {' or '.join(others)}. {LATER}" if others else LATER,
        )


def _is_full(offer: OfferView) -> bool:
    return offer.availability == "out_of_stock" and not offer.stale


async def _seen(session: AsyncSession) -> dict[str, dict[str, ZoneOffer]]:
    """zone → size → what the worker has seen"""
    seen: dict[str, dict[str, ZoneOffer]] = {}
    for row in await session.scalars(select(ZoneOffer)):
        seen.setdefault(row.zone, {})[row.commercial_type] = row
    return seen


def _zone(zone: str, plans: Sequence[Plan], seen: Mapping[str, ZoneOffer], now: datetime) -> ZoneView:
    return ZoneView(
        id=zone, plans=[plan.id for plan in plans], offers=[_offer(plan, seen, now) for plan in plans]
    )


def _offer(plan: Plan, seen: Mapping[str, ZoneOffer], now: datetime) -> OfferView:
    """The first size of the plan that is there, as the reconciler would choose it."""
    if not seen:
        return OfferView(
            plan=plan.id, availability="unknown", machine=None, vcpus=None, memory_bytes=None,
            machine_price=None, seen_at=None, stale=True,
        )  # fmt: skip
    seen_at = min(row.seen_at for row in seen.values())
    rows = [seen[name] for name in plan.commercial_types if name in seen]
    row = next((one for one in rows if one.availability != "shortage"), None)
    cents = row.monthly_cents if row is not None else None
    return OfferView(
        plan=plan.id,
        availability="out_of_stock"
        if row is None
        else "scarce"
        if row.availability == "scarce"
        else "available",
        machine=row.commercial_type if row is not None else None,
        vcpus=row.vcpus if row is not None else None,
        memory_bytes=row.memory_bytes if row is not None else None,
        machine_price=None if cents is None else PriceView(amount_cents=cents, currency=CURRENCY),
        seen_at=seen_at,
        stale=now - seen_at > STALE_AFTER,
    )


def _capacity(limits: Sequence[CloudLimit], now: datetime) -> CapacityView:
    if not limits:
        return CapacityView(servers_left=None, seen_at=None, stale=True)
    left = [
        max(0, row.quota - row.used) // (ADDRESSES_PER_SERVER if row.resource == "addresses" else 1)
        for row in limits
        if row.quota is not None
    ]
    seen_at = min(row.seen_at for row in limits)
    return CapacityView(
        servers_left=min(left, default=None), seen_at=seen_at, stale=now - seen_at > STALE_AFTER
    )


def _plan(plan: Plan) -> PlanView:
    return PlanView(
        id=plan.id,
        name=plan.name,
        description=plan.description,
        price=PriceView(amount_cents=plan.amount_cents, currency=plan.currency),
        domains=plan.domains,
        mailboxes=plan.mailboxes,
    )
