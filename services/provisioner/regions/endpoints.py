"""Regions, zones, plans and prices."""

from __future__ import annotations

from fastapi import APIRouter

from services.provisioner.regions import service
from services.provisioner.regions.schemas import RegionsView
from services.provisioner.wiring import Wired
from shared.web import SessionDep, signed_in

router = APIRouter(tags=["Regions"])


@router.get("/v1/regions", dependencies=[signed_in()])
async def regions(wired: Wired, session: SessionDep) -> RegionsView:
    """Where servers can stand, what they cost, and whether there is room. When a zone has run out of a plan's sizes, a
    new server goes to the next zone of the same region in this order; when there is none, it waits, and says so."""
    return await service.offered(session, wired.catalogue, wired.clock.now())
