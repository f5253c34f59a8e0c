"""The measure of all: a Starlette route under uvicorn that answers by itself, without any gateway."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.gateway.peers.serve import arguments, serve


def create_app(body: bytes) -> Starlette:
    async def server(request: Request) -> Response:
        return Response(body, media_type="application/json")

    return Starlette(routes=[Route("/v1/workspaces/{workspace_id}/servers/{server_id}", server)])


if __name__ == "__main__":
    chosen = arguments(__doc__)
    serve(create_app((Path(chosen.directory) / "body.json").read_bytes()), chosen)
