"""An application for `python -m shared.web.serve`."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, FastAPI

from shared.settings import ServiceSettings
from shared.web import build_app, public

router = APIRouter(prefix="/v1")


@router.get("/slow", dependencies=[public()])
async def slow() -> str:
    await asyncio.sleep(1)
    return "finished"


def create_app() -> FastAPI:
    return build_app("dns", ServiceSettings(), [router])
