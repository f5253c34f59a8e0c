"""Block storage (Block v1): the root volume of a server, which outlives it."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from sandbox.scaleway.errors import precondition_failed
from sandbox.scaleway.routing import Call, Routing, counted_page
from sandbox.scaleway.world import VOLUME, World, new_id, now, with_tags
from sandbox.store import Document

ROOT_VOLUME_SIZE = 10_000_000_000


class UpdateVolume(BaseModel):
    name: str | None = None
    tags: list[str] | None = None


class Volumes:
    def __init__(self, world: World, routing: Routing) -> None:
        self._world = world
        zone = "/block/v1/zones/{zone}"
        routing.add("GET", f"{zone}/volumes", "volumes.list", self.list_all)
        routing.add("GET", f"{zone}/volumes/{{id}}", "volumes.get", self.get)
        routing.add("PATCH", f"{zone}/volumes/{{id}}", "volumes.update", self.update)
        routing.add("DELETE", f"{zone}/volumes/{{id}}", "volumes.delete", self.delete)

    async def list_all(self, call: Call) -> Response:
        wanted = ",".join(call.request.query_params.getlist("tags"))
        found = with_tags(self._world.in_zone(VOLUME, call.zone), wanted)
        if call.query("project_id"):
            found = [each for each in found if each["project"] == call.query("project_id")]
        if call.query("name"):
            found = [each for each in found if str(call.query("name")) in each["name"]]
        return counted_page(call, "volumes", [render(each) for each in found])

    async def get(self, call: Call) -> Response:
        return JSONResponse(render(self._world.find(VOLUME, call.zone, call.path("id"))))

    async def update(self, call: Call) -> Response:
        document = self._world.find(VOLUME, call.zone, call.path("id"))
        body = await call.body(UpdateVolume)
        document.update(body.model_dump(exclude_none=True))
        return JSONResponse(render(self._world.save(VOLUME, document)))

    async def delete(self, call: Call) -> Response:
        document = self._world.find(VOLUME, call.zone, call.path("id"))
        if document["references"]:
            raise precondition_failed("the volume is still attached to a server")
        self._world.store.delete(VOLUME, document["id"])
        return Response(status_code=204)


def create_root_volume(world: World, zone: str, server_id: str, name: str) -> str:
    """The volume a new server boots from; returns its id. It carries none of the server's tags."""
    reference = {
        "id": new_id(),
        "product_resource_type": "instance_server",
        "product_resource_id": server_id,
        "created_at": now(),
        "type": "exclusive",
        "status": "attached",
    }
    document = {
        "id": new_id(),
        "zone": zone,
        "name": name,
        "project": world.settings.project_id,
        "tags": [],
        "status": "in_use",
        "references": [reference],
        "created_at": now(),
        "last_detached_at": None,
    }
    return str(world.save(VOLUME, document)["id"])


async def detach_volume(world: World, identifier: str) -> None:
    """The reference says "detaching" for a while before it is gone."""
    document = world.store.get(VOLUME, identifier)
    if document is None:
        return
    for each in document["references"]:
        each["status"] = "detaching"
    world.save(VOLUME, document)
    await asyncio.sleep(world.settings.detaching_s)
    document = world.store.get(VOLUME, identifier)
    if document is not None:
        document.update(references=[], status="available", last_detached_at=now())
        world.save(VOLUME, document)


def render(document: Document) -> dict[str, Any]:
    return {
        "id": document["id"],
        "name": document["name"],
        "type": "sbs_5k",
        "size": ROOT_VOLUME_SIZE,
        "project_id": document["project"],
        "created_at": document["created_at"],
        "updated_at": document["modification_date"],
        "references": document["references"],
        "parent_snapshot_id": None,
        "status": document["status"],
        "tags": document["tags"],
        "zone": document["zone"],
        "specs": {"perf_iops": 5000, "class": "sbs"},
        "last_detached_at": document["last_detached_at"],
    }
