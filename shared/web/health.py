"""`/healthz` (the process lives), `/readyz` (what it depends on answers), `/metrics` (Prometheus text)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.observability.logging import get_logger

Check = Callable[[], Awaitable[None]]
CHECK_SECONDS = 3.0

_log = get_logger("health")


async def run_checks(checks: Mapping[str, Check]) -> tuple[bool, dict[str, str]]:
    """Runs each check for at most three seconds. A check fails by raising; its reason goes to the log only."""

    async def one(name: str, check: Check) -> tuple[str, str]:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except Exception as error:  # whatever it is, the dependency is not ready; bounded by the timeout
            _log.warning("not ready", dependency=name, kind=type(error).__name__)
            return name, "failed"
        return name, "ok"

    results = dict(await asyncio.gather(*(one(name, check) for name, check in checks.items())))
    return all(state == "ok" for state in results.values()), results


def install(app: FastAPI, checks: Mapping[str, Check]) -> None:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        ready, results = await run_checks(checks)
        return JSONResponse({"ready": ready, "checks": results}, status_code=200 if ready else 503)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    app.add_route("/healthz", healthz, include_in_schema=False)
    app.add_route("/readyz", readyz, include_in_schema=False)
    app.add_route("/metrics", metrics, include_in_schema=False)
