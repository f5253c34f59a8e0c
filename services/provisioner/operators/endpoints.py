"""`GET /{servers,stuck,unknown,unowned,findings,quotas,stock}` for operators, on a unix socket of their own (ADR 10).

The socket belongs to the worker's account and nobody else may open it (mode 0600): whoever can is an operator. The
gateway does not know it, and no token opens it. Only GET is answered.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.provisioner.operators.repository import QUERIES, Row
from shared.db.database import Database
from shared.web.serve import Server, listen

OWNER_ONLY = 0o600


def operator_app(database: Database) -> Starlette:
    """Each answer is `{"items": [...]}`."""

    def reading(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_: Request) -> Response:
            async with database.transaction() as session:
                items = await QUERIES[name](session)
            return Response(as_json({"items": items}), media_type="application/json")

        return answer

    return Starlette(routes=[Route(f"/{name}", reading(name), methods=["GET"]) for name in QUERIES])


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, default=plain)


def plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def serving(database: Database, socket: Path) -> Callable[[], Awaitable[None]]:
    """A background task that serves the operators' socket until it is cancelled."""

    async def run() -> None:
        listener = listen(socket, OWNER_ONLY)
        server = Server(
            uvicorn.Config(
                operator_app(database), log_config=None, access_log=False, lifespan="off", server_header=False
            )
        )
        try:
            await server.serve(sockets=[listener])
        except asyncio.CancelledError:
            server.should_exit = True
            raise
        finally:
            await asyncio.to_thread(socket.unlink, missing_ok=True)

    return run


__all__ = ["Row", "as_json", "operator_app", "plain", "serving"]
