"""Regions, zones, plans and prices."""

from __future__ import annotations

from fastapi import APIRouter

from services.provisioner.plans import Catalogue
from services.provisioner.regions.schemas import PlanView, PriceView, RegionsView, RegionView, ZoneView
from services.provisioner.wiring import Wired
from shared.web import signed_in

router = APIRouter(tags=["Regions"])


@router.get("/v1/regions", dependencies=[signed_in()])
async def regions(wired: Wired) -> RegionsView:
    """Where servers can stand, and what they cost."""
    return offered(wired.catalogue)


def offered(catalogue: Catalogue) -> RegionsView:
    plans = [plan.id for plan in catalogue.plans]
    return RegionsView(
        items=[
            RegionView(
                id=region.id,
                name=region.name,
                country=region.country,
                zones=[ZoneView(id=zone, plans=plans) for zone in region.zones],
            )
            for region in catalogue.regions
        ],
        plans=[
            PlanView(
                id=plan.id,
                name=plan.name,
                description=plan.description,
                price=PriceView(amount_cents=plan.amount_cents, currency=plan.currency),
                domains=plan.domains,
                mailboxes=plan.mailboxes,
            )
            for plan in catalogue.plans
        ],
    )
