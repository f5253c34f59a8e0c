"""User data of a server: raw text by key. `cloud-init` is what the server reads at its next boot."""

from __future__ import annotations

from starlette.responses import JSONResponse, PlainTextResponse, Response

from sandbox.scaleway.errors import ScalewayError, invalid_request
from sandbox.scaleway.power import CLOUD_INIT
from sandbox.scaleway.routing import Call, Routing
from sandbox.scaleway.world import SERVER, USER_DATA, World

MAX_BYTES = 128 * 1024


class UserData:
    def __init__(self, world: World, routing: Routing) -> None:
        self._world = world
        path = "/instance/v1/zones/{zone}/servers/{id}/user_data"
        routing.add("GET", path, "user_data.list", self.list_all)
        routing.add("GET", f"{path}/{{key}}", "user_data.get", self.get)
        routing.add("PATCH", f"{path}/{{key}}", "user_data.set", self.set)
        routing.add("DELETE", f"{path}/{{key}}", "user_data.delete", self.delete)

    async def list_all(self, call: Call) -> Response:
        return JSONResponse({"user_data": sorted(self._of(call))})

    async def get(self, call: Call) -> Response:
        found = self._of(call).get(call.path("key"))
        if found is None:
            raise ScalewayError(404, None)
        return PlainTextResponse(found.encode("utf-8", "surrogateescape"))

    async def set(self, call: Call) -> Response:
        data = self._of(call)
        kind = call.request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "text/plain":
            raise invalid_request("user data must be sent as text/plain")
        content = await call.request.body()
        if len(content) > MAX_BYTES:
            raise invalid_request(f"user data is limited to {MAX_BYTES} bytes")
        data[call.path("key")] = content.decode("utf-8", "surrogateescape")
        await self._keep(call, data)
        return Response(status_code=204)

    async def delete(self, call: Call) -> Response:
        data = self._of(call)
        if data.pop(call.path("key"), None) is None:
            raise ScalewayError(404, None)
        await self._keep(call, data)
        return Response(status_code=204)

    def _of(self, call: Call) -> dict[str, str]:
        server = self._world.find(SERVER, call.zone, call.path("id"))
        return dict(self._world.store.get(USER_DATA, server["id"]) or {})

    async def _keep(self, call: Call, data: dict[str, str]) -> None:
        self._world.store.put(USER_DATA, call.path("id"), data)
        instance = self._world.hosts.get(call.path("id"))
        if instance is not None and call.path("key") == CLOUD_INIT:
            await instance.set_user_data(data.get(CLOUD_INIT, "").encode("utf-8", "surrogateescape"))
