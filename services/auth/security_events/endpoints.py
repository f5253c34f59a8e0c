"""What happened to one's own account."""

from __future__ import annotations

from fastapi import APIRouter

from services.auth.security_events import service
from services.auth.security_events.schemas import SecurityEventView
from shared.web.access import IdentityDep, signed_in
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Accounts"])


@router.get("/v1/me/security-events", dependencies=[signed_in()])
async def list_security_events(
    identity: IdentityDep, session: SessionDep, page: PageDep
) -> Page[SecurityEventView]:
    """Sign-ins from new devices, changed passwords and addresses, ended sessions: newest first."""
    return await service.page(session, identity.subject, page)
