"""What others do at Cloudflare: customers with their zones and tokens, and somebody's own records."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field

from sandbox.cloudflare.customers import NewZone
from sandbox.control.body import Body
from sandbox.control.wiring import Wiring


class TokenStatus(Body):
    status: Literal["active", "disabled", "expired"]


def create_router(wiring: Wiring) -> APIRouter:
    """Customers' accounts and zones, and records that somebody else put there."""
    router = APIRouter()
    customers = wiring.customers

    @router.post("/cloudflare/zones", status_code=201)
    async def create(body: NewZone) -> dict[str, Any]:
        return await customers.create(body)

    @router.post("/cloudflare/zones/{zone_id}/records", status_code=201)
    async def add(zone_id: str, records: Annotated[list[dict[str, Any]], Field(min_length=1)]) -> list[Any]:
        return await customers.add_records(zone_id, records)

    @router.delete("/cloudflare/zones/{zone_id}")
    async def remove(zone_id: str) -> dict[str, Any]:
        return await customers.remove(zone_id)

    @router.put("/cloudflare/tokens/{token_id}")
    async def token(token_id: str, body: TokenStatus) -> dict[str, Any]:
        wiring.cloudflare.set_token_status(token_id, body.status)
        return {"id": token_id, "status": body.status}

    return router
