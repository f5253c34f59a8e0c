"""For gateways only."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from services.auth.authority import service
from services.auth.authority.schemas import ApiKeyQuestion, AuthoritySnapshot, Introspection, Question
from services.auth.wiring import Wired
from shared.web.access import internal

router = APIRouter(tags=["Internal"])


@router.get("/internal/memberships", dependencies=[internal("gateway")])
async def memberships(wired: Wired) -> AuthoritySnapshot:
    return await service.snapshot(wired.database, wired.clock)


@router.post("/internal/introspect", dependencies=[internal("gateway")])
async def introspect(question: Annotated[Question, Body()], wired: Wired) -> Introspection:
    if isinstance(question, ApiKeyQuestion):
        return await service.introspect_key(wired.database, wired.clock, wired.keys, question)
    return await service.introspect_session(wired.database, wired.clock, question)
