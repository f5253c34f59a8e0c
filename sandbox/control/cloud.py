"""What the cloud offers next and has in stock."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from sandbox.control.body import Body
from sandbox.control.wiring import Wiring, cloud_of


class Pool(Body):
    addresses: list[str]


class Availability(Body):
    zone: str
    commercial_type: str
    level: Literal["available", "scarce", "shortage"]


def create_router(wiring: Wiring) -> APIRouter:
    """What the cloud offers next and has in stock."""
    router = APIRouter(prefix="/scaleway")

    @router.get("/ip-pool")
    async def pool() -> dict[str, Any]:
        return dict(cloud_of(wiring).ip_pool())

    @router.put("/ip-pool")
    async def offer(body: Pool) -> dict[str, Any]:
        return dict(cloud_of(wiring).offer(body.addresses))

    @router.put("/availability")
    async def stock(body: Availability) -> dict[str, Any]:
        cloud_of(wiring).set_availability(body.zone, body.commercial_type, body.level)
        return body.model_dump()

    return router
