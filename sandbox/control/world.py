"""Whether this world is well, what it holds in its books, and what goes wrong in it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from sandbox.control.body import Body
from sandbox.control.wiring import Wiring, cloud_of
from sandbox.faults import Fault, FaultKind

VENDORS = ("scaleway", "cloudflare", "stripe", "resend", "transit")


class FaultRequest(Body):
    """Arm one fault, or switch the vendor's habits."""

    operation: str | None = None
    kind: FaultKind | None = None
    status: int = Field(default=503, ge=400, le=599)
    seconds: float = Field(default=0, ge=0, le=600)
    count: int = Field(default=1, ge=1, le=100_000)
    habits: bool | None = None


def create_router(wiring: Wiring) -> APIRouter:
    """Health, books, faults."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, Any]:
        dead = wiring.infrastructure.dead()
        return {"ok": not dead, "dead": dead}

    @router.get("/books/{vendor}")
    async def books(vendor: str) -> Any:
        match vendor:
            case "scaleway":
                return cloud_of(wiring).books()
            case "cloudflare":
                return wiring.cloudflare.view()
            case "stripe":
                return wiring.stripe.view()
            case "resend":
                return wiring.resend.view()
            case "transit":
                return {"keys": wiring.transit.view()}
            case "dnsbl":
                return wiring.infrastructure.blacklists.view()
            case "outside":
                return {"messages": wiring.infrastructure.outside.messages()}
            case "dns":
                tree = wiring.infrastructure.tree
                return {zone: [asdict(each) for each in await tree.records(zone)] for zone in tree.zones()}
        raise KeyError(vendor)

    @router.get("/faults/{vendor}")
    async def faults(vendor: str) -> dict[str, Any]:
        return wiring.faults.view(_vendor(vendor))

    @router.put("/faults/{vendor}")
    async def arm(vendor: str, body: FaultRequest) -> dict[str, Any]:
        if body.habits is not None:
            wiring.faults.habits_on(_vendor(vendor), body.habits)
        if body.operation is not None and body.kind is not None:
            fault = Fault(body.kind, body.status, body.seconds, body.count)
            wiring.faults.arm(_vendor(vendor), body.operation, fault)
        elif body.habits is None:
            raise ValueError("give operation and kind to arm a fault, or habits to switch the default ones")
        return wiring.faults.view(vendor)

    @router.delete("/faults/{vendor}")
    async def disarm(vendor: str, operation: str | None = None) -> dict[str, Any]:
        wiring.faults.disarm(_vendor(vendor), operation)
        return wiring.faults.view(vendor)

    return router


def _vendor(vendor: str) -> str:
    if vendor not in VENDORS:
        raise KeyError(f"{vendor}: no such vendor; known: {', '.join(VENDORS)}")
    return vendor
