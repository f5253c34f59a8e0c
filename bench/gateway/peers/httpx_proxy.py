"""The peer that most teams would write: a FastAPI catch-all route, a dependency for the token, an httpx client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import Depends, FastAPI, HTTPException, Request, Response

from bench.gateway.peers.serve import arguments, serve
from gateway.authenticate import AUDIENCE
from gateway.keys import keys_of
from shared.identity import StrictVerifier, TokenRejected

_HOP = {"connection", "host", "authorization", "content-length", "transfer-encoding"}


def create_app(directory: Path, issuer: str) -> FastAPI:
    keys = keys_of(json.loads((directory / "jwks.json").read_text()))
    verifier = StrictVerifier(keys, issuer, AUDIENCE, "at+jwt", strings=("sub", "sid", "jti"))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        transport = httpx.AsyncHTTPTransport(
            uds=str(directory / "provisioner.sock"), limits=httpx.Limits(max_connections=256)
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=10) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    async def caller(request: Request) -> dict[str, Any]:
        try:
            return verifier.verify(request.headers.get("authorization", "").removeprefix("Bearer "))
        except TokenRejected as error:
            raise HTTPException(401) from error

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    @app.api_route("/{path:path}", methods=methods, dependencies=[Depends(caller)])
    async def forward(path: str, request: Request) -> Response:
        answer = await request.app.state.client.request(
            request.method,
            request.url.path,
            headers=[(name, value) for name, value in request.headers.items() if name not in _HOP],
            content=await request.body(),
        )
        response = Response(answer.content, answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() != b"connection"
        ]
        return response

    return app


if __name__ == "__main__":
    chosen = arguments(__doc__)
    where = Path(chosen.directory)
    serve(create_app(where, (where / "issuer").read_text()), chosen)
