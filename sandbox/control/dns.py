"""The DNS beneath Cloudflare's books, the blacklists that are served from it, and the ACME root."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import ip_address
from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from pydantic import Field

from sandbox.control.body import Body
from sandbox.control.wiring import Wiring
from sandbox.dnsbl.server import Mode


class Records(Body):
    name: str
    type: str
    values: list[str] = Field(min_length=1)
    ttl: int = Field(default=1, ge=0, le=86_400)


class Delegation(Body):
    secure: bool


class ListEntry(Body):
    code: str = "127.0.0.2"
    reason: str = "listed by the sandbox"


class ListMode(Body):
    mode: Mode


def create_router(wiring: Wiring) -> APIRouter:
    """The authoritative server beneath Cloudflare's books, delegations, blacklists, the ACME root."""
    router = APIRouter()
    infrastructure = wiring.infrastructure

    @router.get("/dns/records")
    async def served(name: str, type: str | None = None) -> list[dict[str, Any]]:
        found = await infrastructure.tree.records(infrastructure.tree.zone_of(name))
        wanted = name.lower().rstrip(".") + "."
        return [asdict(each) for each in found if each.name == wanted and type in (None, each.type)]

    @router.put("/dns/records")
    async def plant(body: Records) -> dict[str, Any]:
        await infrastructure.tree.set_records(body.name, body.type, body.values, body.ttl)
        return body.model_dump()

    @router.delete("/dns/records")
    async def repair(name: str, type: str) -> dict[str, Any]:
        return asdict(await wiring.publisher.restore(name, type.upper()))

    @router.put("/dns/delegations/{zone}")
    async def delegate(zone: str, body: Delegation) -> dict[str, Any]:
        await infrastructure.tree.delegate(zone, secure=body.secure)
        return {"zone": zone, "secure": await infrastructure.tree.is_secure(zone)}

    @router.get("/dnsbl")
    async def lists() -> list[dict[str, Any]]:
        return infrastructure.blacklists.view()

    @router.put("/dnsbl/{zone}")
    async def mode(zone: str, body: ListMode) -> dict[str, Any]:
        await infrastructure.blacklists.set_mode(zone, body.mode)
        return {"zone": zone, "mode": body.mode}

    @router.put("/dnsbl/{zone}/{address}")
    async def enlist(zone: str, address: str, body: ListEntry | None = None) -> dict[str, Any]:
        entry = body or ListEntry()
        return asdict(
            await infrastructure.blacklists.put(zone, ip_address(address), entry.code, entry.reason)
        )

    @router.delete("/dnsbl/{zone}/{address}")
    async def delist(zone: str, address: str) -> dict[str, Any]:
        return {"removed": await infrastructure.blacklists.delete(zone, ip_address(address))}

    @router.get("/acme/root")
    async def root() -> PlainTextResponse:
        return PlainTextResponse(await infrastructure.acme.roots(), media_type="application/x-pem-file")

    return router
