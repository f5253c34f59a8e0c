"""IPAM v1: the other view of an address, and the only way to the reverse of an IPv6 one.

An update answers 200 with the list as it was before; the change is there a moment later.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from sandbox.scaleway.errors import invalid, not_found
from sandbox.scaleway.ips import check_resolves
from sandbox.scaleway.routing import Call, Routing, counted_page
from sandbox.scaleway.world import IP, SERVER, World, with_tags
from sandbox.store import Document


class Reverse(BaseModel):
    hostname: str
    address: str | None = None


class UpdateIpamIp(BaseModel):
    tags: list[str] | None = None
    reverses: list[Reverse] | None = None


class Ipam:
    def __init__(self, world: World, routing: Routing) -> None:
        self._world = world
        region = "/ipam/v1/regions/{region}"
        routing.add("GET", f"{region}/ips", "ipam.ips.list", self.list_all)
        routing.add("GET", f"{region}/ips/{{id}}", "ipam.ips.get", self.get)
        routing.add("PATCH", f"{region}/ips/{{id}}", "ipam.ips.update", self.update)

    async def list_all(self, call: Call) -> Response:
        zones = self._world.catalogue.regions[call.path("region")]
        found = [each for each in self._world.store.list(IP) if each["zone"] in zones]
        if call.query("is_ipv6"):
            found = [
                each for each in found if (each["prefix"] is not None) == (call.query("is_ipv6") == "true")
            ]
        if call.query("project_id"):
            found = [each for each in found if each["project"] == call.query("project_id")]
        found = with_tags(found, ",".join(call.request.query_params.getlist("tags")))
        return counted_page(call, "ips", [self._render(each) for each in found])

    async def get(self, call: Call) -> Response:
        return JSONResponse(self._render(self._find(call)))

    async def update(self, call: Call) -> Response:
        document = self._find(call)
        body = await call.body(UpdateIpamIp)
        before = self._render(document)
        if body.reverses is not None:
            wanted = [self._checked(document, each) for each in body.reverses]
            for each in wanted:
                await check_resolves(self._world, each["hostname"], each["address"])
            self._world.in_background(self._apply_later(document["id"], wanted), "IPAM reverse")
        if body.tags is not None:
            document["tags"] = body.tags
            self._world.save(IP, document)
        return JSONResponse(before)

    async def _apply_later(self, identifier: str, wanted: list[dict[str, str]]) -> None:
        await asyncio.sleep(self._world.settings.ipam_reverse_s)
        document = self._world.store.get(IP, identifier)
        if document is None:
            return
        kept = {each["address"] for each in wanted}
        for former in document["reverses"]:
            if former["address"] not in kept:
                await self._world.set_ptr(ip_address(former["address"]), None)
        for each in wanted:
            await self._world.set_ptr(ip_address(each["address"]), each["hostname"])
        document["reverses"] = wanted
        if document["type"] == "routed_ipv4":
            document["reverse"] = wanted[0]["hostname"] if wanted else None
        self._world.save(IP, document)

    def _checked(self, document: Document, reverse: Reverse) -> dict[str, str]:
        if document["type"] == "routed_ipv4":
            return {"hostname": reverse.hostname, "address": document["address"]}
        try:
            address = IPv6Address(reverse.address or "")
        except ValueError:
            raise invalid("reverses.address", "format", "an IPv6 address is needed") from None
        if address not in IPv6Network(document["prefix"]):
            raise invalid("reverses.address", "constraint", f"the address is not in {document['prefix']}")
        return {"hostname": reverse.hostname, "address": str(address)}

    def _find(self, call: Call) -> Document:
        zones = self._world.catalogue.regions[call.path("region")]
        for each in self._world.store.list(IP):
            if each["ipam_id"] == call.path("id") and each["zone"] in zones:
                return each
        raise not_found("ip", call.path("id"))

    def _render(self, document: Document) -> dict[str, Any]:
        server = self._world.store.get(SERVER, document["server"]) if document["server"] else None
        resource = server and {"type": "instance_server", "id": server["id"], "name": server["name"]}
        reverses = document["reverses"]
        if document["reverse"] is not None and not reverses:
            reverses = [{"hostname": document["reverse"], "address": document["address"]}]
        return {
            "id": document["ipam_id"],
            "address": document["prefix"] or f"{document['address']}/32",
            "project_id": document["project"],
            "is_ipv6": document["prefix"] is not None,
            "created_at": document["created_at"],
            "updated_at": document["modification_date"],
            "source": {"zonal": document["zone"]},
            "resource": resource,
            "tags": document["tags"],
            "reverses": reverses,
            "region": document["zone"].rpartition("-")[0],
            "zone": document["zone"],
        }
