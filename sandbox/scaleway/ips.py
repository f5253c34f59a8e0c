"""Flexible addresses (Instance v1) and their reverse names."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network
from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from sandbox.scaleway.errors import invalid, not_found, precondition_failed, quotas_exceeded
from sandbox.scaleway.pool import PoolExhausted
from sandbox.scaleway.power import Power
from sandbox.scaleway.projects import own_project, owner_fields
from sandbox.scaleway.routing import Call, Routing, instance_page
from sandbox.scaleway.world import IP, SERVER, Address, World, new_id, now, with_tags
from sandbox.store import Document


class CreateIp(BaseModel):
    project: str | None = None
    organization: str | None = None
    type: Literal["routed_ipv4", "routed_ipv6"]
    tags: list[str] = []
    server: str | None = None


class UpdateIp(BaseModel):
    """`server` and `reverse` may be null, which is not the same as absent."""

    server: str | None = None
    reverse: str | None = None
    tags: list[str] | None = None


class Ips:
    def __init__(self, world: World, routing: Routing, power: Power) -> None:
        self._world = world
        self._power = power
        zone = "/instance/v1/zones/{zone}"
        routing.add("GET", f"{zone}/ips", "ips.list", self.list_all)
        routing.add("POST", f"{zone}/ips", "ips.create", self.create)
        routing.add("GET", f"{zone}/ips/{{id}}", "ips.get", self.get)
        routing.add("PATCH", f"{zone}/ips/{{id}}", "ips.update", self.update)
        routing.add("DELETE", f"{zone}/ips/{{id}}", "ips.delete", self.delete)

    async def list_all(self, call: Call) -> Response:
        found = with_tags(self._world.in_zone(IP, call.zone), call.query("tags"))
        for field in ("project", "organization", "type"):
            if call.query(field):
                found = [each for each in found if each[field] == call.query(field)]
        return instance_page(call, "ips", [self.render(each) for each in found])

    async def create(self, call: Call) -> Response:
        body = await call.body(CreateIp)
        own_project(self._world, body.project, body.organization)
        every = self._world.store.list(IP)
        if len(every) >= self._world.settings.quota_ips:
            raise quotas_exceeded("instance_ips", self._world.settings.quota_ips, len(every))
        server = self._world.find(SERVER, call.zone, body.server) if body.server else None
        address, prefix = self._take(body.type)
        document = {
            "id": new_id(),
            "zone": call.zone,
            "type": body.type,
            "address": address,
            "prefix": prefix,
            "reverse": None,
            "reverses": [],
            "server": server["id"] if server else None,
            "tags": body.tags,
            "ipam_id": new_id(),
            "created_at": now(),
            **owner_fields(self._world),
        }
        self._world.save(IP, document)
        if server:
            await self._power.addresses_changed(server["id"])
        place = {"Location": f"{call.request.url.path}/{document['id']}"}
        return JSONResponse({"ip": self.render(document)}, 201, headers=place)

    async def get(self, call: Call) -> Response:
        return JSONResponse({"ip": self.render(self._find(call))})

    async def update(self, call: Call) -> Response:
        document = self._find(call)
        body = await call.body(UpdateIp)
        if "reverse" in body.model_fields_set:
            await self._set_reverse(document, body.reverse)
        if body.tags is not None:
            document["tags"] = body.tags
        if "server" in body.model_fields_set:
            await self._attach(call, document, body.server)
        self._world.save(IP, document)
        return JSONResponse({"ip": self.render(document)})

    async def delete(self, call: Call) -> Response:
        document = self._find(call)
        self._world.store.delete(IP, document["id"])
        self._world.pool.release(document["address"] or document["prefix"])
        for name in [*document["reverses"], *_as_reverse(document)]:
            await self._world.set_ptr(_parse(name["address"]), None)
        if document["server"]:
            await self._power.addresses_changed(document["server"])
        return Response(status_code=204)

    def render(self, document: Document) -> dict[str, Any]:
        server = self._world.store.get(SERVER, document["server"]) if document["server"] else None
        return {
            "id": document["id"],
            "address": document["address"],
            "prefix": document["prefix"],
            "reverse": document["reverse"],
            "server": {"id": server["id"], "name": server["name"]} if server else None,
            "organization": document["organization"],
            "project": document["project"],
            "tags": document["tags"],
            "type": document["type"],
            "state": "attached" if server else "detached",
            "ipam_id": document["ipam_id"],
            "zone": document["zone"],
        }

    def _find(self, call: Call) -> Document:
        """By id or, as the API allows, by the address itself."""
        wanted = call.path("id")
        for each in self._world.in_zone(IP, call.zone):
            if wanted in (each["id"], each["address"]):
                return each
        raise not_found("instance_ip", wanted)

    def _take(self, kind: str) -> tuple[str | None, str | None]:
        every = self._world.store.list(IP)
        in_use = {each["address"] or each["prefix"] for each in every}
        try:
            if kind == "routed_ipv6":
                return None, str(self._world.pool.take_v6(in_use))
            return str(self._world.pool.take_v4(in_use)), None
        except PoolExhausted:
            raise quotas_exceeded("instance_ips", len(every), len(every)) from None

    async def _attach(self, call: Call, document: Document, server_id: str | None) -> None:
        former = document["server"]
        if server_id is not None and former not in (None, server_id):
            raise precondition_failed("the address is attached to another server")
        server = self._world.find(SERVER, call.zone, server_id) if server_id else None
        document["server"] = server["id"] if server else None
        self._world.save(IP, document)
        for each in {former, document["server"]} - {None}:
            await self._power.addresses_changed(each)

    async def _set_reverse(self, document: Document, hostname: str | None) -> None:
        if document["type"] != "routed_ipv4":
            raise invalid("reverse", "constraint", "the reverse of an IPv6 address is set through IPAM")
        if hostname is not None:
            await check_resolves(self._world, hostname, document["address"])
        await self._world.set_ptr(IPv4Address(document["address"]), hostname)
        document["reverse"] = hostname


async def check_resolves(world: World, hostname: str, address: str) -> None:
    """Raises the refusal that the API gives until `hostname` resolves to `address`."""
    kind = "AAAA" if ":" in address else "A"
    if not hostname or address not in await world.resolve(hostname, kind):
        raise invalid(
            "reverse",
            "constraint",
            f"Your reverse must resolve. Ensure the command 'dig +short {hostname}' matches your IP address "
            f"'{address}'. If this is the case, please wait a few minutes and try again.",
        )


def _as_reverse(document: Document) -> list[dict[str, str]]:
    if document["reverse"] is None:
        return []
    return [{"hostname": document["reverse"], "address": document["address"]}]


def _parse(address: str) -> Address:
    return IPv6Network(address)[0] if ":" in address else IPv4Address(address)
