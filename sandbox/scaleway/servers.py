"""Servers (Instance v1): created stopped, then acted upon. There is no idempotency key for a creation."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from sandbox.scaleway import errors
from sandbox.scaleway.catalogue import BOOTABLE, Image, Product
from sandbox.scaleway.power import STARTING, STOPPED, STOPPING, Power
from sandbox.scaleway.products import availability
from sandbox.scaleway.projects import own_project, owner_fields
from sandbox.scaleway.routing import Call, Routing, instance_page
from sandbox.scaleway.security_groups import default_group
from sandbox.scaleway.server_shape import ACTIONS_FROM, render_server, task_json
from sandbox.scaleway.volumes import create_root_volume
from sandbox.scaleway.world import IP, SECURITY_GROUP, SERVER, World, new_id, now, with_tags
from sandbox.store import Document


class CreateServer(BaseModel):
    name: str = Field(min_length=1, max_length=255)
    commercial_type: str
    image: str
    project: str | None = None
    organization: str | None = None
    tags: list[str] = []
    dynamic_ip_required: bool = True
    boot_type: Literal["local", "rescue"] = "local"
    public_ips: list[str] = []
    security_group: str | None = None
    protected: bool = False
    volumes: dict[str, dict[str, Any]] = {}


class UpdateServer(BaseModel):
    name: str | None = Field(default=None, min_length=1, max_length=255)
    tags: list[str] | None = None
    protected: bool | None = None
    boot_type: Literal["local", "rescue"] | None = None
    dynamic_ip_required: bool | None = None
    security_group: dict[str, Any] | None = None


class Action(BaseModel):
    action: Literal["poweron", "poweroff", "stop_in_place", "reboot", "terminate", "backup"]


class Servers:
    def __init__(self, world: World, routing: Routing, power: Power) -> None:
        self._world = world
        self._power = power
        zone = "/instance/v1/zones/{zone}/servers"
        routing.add("GET", zone, "servers.list", self.list_all)
        routing.add("POST", zone, "servers.create", self.create)
        routing.add("GET", f"{zone}/{{id}}", "servers.get", self.get)
        routing.add("PATCH", f"{zone}/{{id}}", "servers.update", self.update)
        routing.add("DELETE", f"{zone}/{{id}}", "servers.delete", self.delete)
        routing.add("POST", f"{zone}/{{id}}/action", "servers.action", self.act)

    async def list_all(self, call: Call) -> Response:
        found = with_tags(self._world.in_zone(SERVER, call.zone), call.query("tags"))
        for field in ("project", "organization", "state", "commercial_type"):
            if call.query(field):
                found = [each for each in found if each[field] == call.query(field)]
        if call.query("name"):
            found = [each for each in found if str(call.query("name")) in each["name"]]
        return instance_page(call, "servers", [render_server(self._world, each) for each in found])

    async def create(self, call: Call) -> Response:
        body = await call.body(CreateServer)
        own_project(self._world, body.project, body.organization)
        product, image = self._product(call, body), self._image(call, body)
        group = self._security_group(call, body.security_group)
        ips = [self._free_ip(call, each) for each in body.public_ips]
        self._check_quota()
        if self._out_of_stock(call, product):
            raise errors.out_of_stock(f"{product.name} in {call.zone}")
        server = await self._create(call, body, product, image, group, ips)
        place = {"Location": f"{call.request.url.path}/{server['id']}"}
        return JSONResponse({"server": render_server(self._world, server)}, 201, headers=place)

    async def get(self, call: Call) -> Response:
        return JSONResponse({"server": render_server(self._world, self._find(call))})

    async def update(self, call: Call) -> Response:
        server = self._find(call)
        body = await call.body(UpdateServer)
        server.update(body.model_dump(exclude_none=True, exclude={"security_group"}))
        if body.security_group is not None:
            server["security_group"] = self._security_group(call, str(body.security_group.get("id")))["id"]
        self._world.save(SERVER, server)
        await self._power.apply_mail_filter(server)
        return JSONResponse({"server": render_server(self._world, server)})

    async def delete(self, call: Call) -> Response:
        server = self._find(call)
        if server["state"] != STOPPED:
            raise errors.invalid_request("instance should be powered off")
        self._refuse_protected(server)
        await self._power.delete(server["id"])
        return Response(status_code=204)

    async def act(self, call: Call) -> Response:
        server = self._find(call)
        body = await call.body(Action)
        if server["state"] in (STARTING, STOPPING):
            raise errors.transient_state("instance_server", server["id"], server["state_detail"])
        if body.action not in ACTIONS_FROM[server["state"]]:
            raise errors.invalid_request(f"server should not be {server['state']} for {body.action}")
        if body.action in ("poweroff", "terminate", "stop_in_place"):
            self._refuse_protected(server)
        self._begin(server, body.action)
        return JSONResponse({"task": task_json(server, body.action, call.zone)}, 202)

    def _begin(self, server: Document, action: str) -> None:
        identifier = server["id"]
        work = {
            "poweron": lambda: self._power.power_on(identifier),
            "poweroff": lambda: self._power.power_off(identifier),
            "stop_in_place": lambda: self._power.power_off(identifier, in_place=True),
            "reboot": lambda: self._power.reboot(identifier),
            "terminate": lambda: self._power.terminate(identifier),
        }.get(action)
        if work is None:
            raise errors.invalid("action", "constraint", f"{action} is not offered by this cloud")
        # The state changes with the answer, so that a second action meets the transition.
        server["state"] = STARTING if action == "poweron" else STOPPING
        server["state_detail"] = {"poweron": "allocating node", "reboot": "rebooting"}.get(action, "stopping")
        self._world.save(SERVER, server)
        self._world.in_background(work(), f"{action} {identifier}")

    async def _create(
        self,
        call: Call,
        body: CreateServer,
        product: Product,
        image: Image,
        group: Document,
        ips: list[Document],
    ) -> Document:
        identifier = new_id()
        hostname = re.sub(r"[^a-z0-9-]+", "-", body.name.lower()).strip("-")[:63] or "server"
        await self._world.hosts.create(identifier, image=image.kind, hostname=hostname, memory=product.ram)
        server = {
            "id": identifier,
            "zone": call.zone,
            "name": body.name,
            "hostname": hostname,
            "commercial_type": product.name,
            "image": image.id,
            "tags": body.tags,
            "state": STOPPED,
            "state_detail": "",
            "protected": body.protected,
            "boot_type": body.boot_type,
            "dynamic_ip_required": body.dynamic_ip_required,
            "security_group": group["id"],
            "mac_address": _mac(identifier),
            "creation_date": now(),
            **owner_fields(self._world),
        }
        with self._world.store.transaction():
            server["volume"] = create_root_volume(
                self._world, call.zone, identifier, f"{image.name} volume 0"
            )
            self._world.save(SERVER, server)
            for each in ips:
                self._world.save(IP, {**each, "server": identifier})
        await self._power.addresses_changed(identifier)
        await self._power.apply_mail_filter(server)
        return server

    def _find(self, call: Call) -> Document:
        return self._world.find(SERVER, call.zone, call.path("id"))

    def _product(self, call: Call, body: CreateServer) -> Product:
        product = self._world.catalogue.products(call.zone).get(body.commercial_type)
        if product is None:
            raise errors.invalid(
                "commercial_type", "constraint", f"{body.commercial_type} is not offered in {call.zone}"
            )
        return product

    def _image(self, call: Call, body: CreateServer) -> Image:
        image = self._world.catalogue.image(call.zone, body.image)
        if image is None:
            raise errors.not_found("instance_image", body.image)
        product = self._world.catalogue.products(call.zone)[body.commercial_type]
        if image.arch != product.arch:
            raise errors.invalid(
                "image", "constraint", f"the image is for {image.arch}, the type is {product.arch}"
            )
        if image.arch != BOOTABLE:
            raise errors.out_of_stock(f"{body.commercial_type} in {call.zone}")
        return image

    def _security_group(self, call: Call, identifier: str | None) -> Document:
        if identifier is None:
            return default_group(self._world, call.zone)
        return self._world.find(SECURITY_GROUP, call.zone, identifier)

    def _free_ip(self, call: Call, identifier: str) -> Document:
        found = self._world.find(IP, call.zone, identifier)
        if found["server"] is not None:
            raise errors.precondition_failed(f"address {identifier} is attached to another server")
        return found

    def _check_quota(self) -> None:
        current, quota = len(self._world.store.list(SERVER)), self._world.settings.quota_servers
        if current >= quota:
            raise errors.quotas_exceeded("instance_servers", quota, current)

    def _out_of_stock(self, call: Call, product: Product) -> bool:
        asked = call.fault is not None and call.fault.kind == "out_of_stock"
        return asked or availability(self._world, call.zone, product.name) == "shortage"

    def _refuse_protected(self, server: Document) -> None:
        if server["protected"]:
            raise errors.precondition_failed("the server is protected")


def _mac(identifier: str) -> str:
    """A unicast MAC address with the prefix of the cloud's network cards."""
    digest = hashlib.sha256(identifier.encode()).hexdigest()
    return ":".join(["de", "00", "00", digest[0:2], digest[2:4], digest[4:6]])
