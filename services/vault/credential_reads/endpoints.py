"""GET …/credential-reads: who has seen which passwords, and which of those still open a mailbox."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BeforeValidator

from services.vault.credential_reads import repository
from services.vault.credential_reads.schemas import CredentialRead
from shared.ids import WorkspaceId
from shared.web.access import requires
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Audit"])


def _rfc3339(value: object) -> object:
    """Pydantic would take a bare number for seconds since the epoch; the document says date and time."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("write it like 2026-01-31T12:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339)]


@router.get("/v1/workspaces/{workspace_id}/credential-reads", dependencies=[requires("audit.read")])
async def list_credential_reads(
    workspace_id: WorkspaceId,
    page: PageDep,
    session: SessionDep,
    actor_id: Annotated[str | None, Query(pattern=r"^(usr|key)_[0-9a-f]{32}$")] = None,
    since: Annotated[Moment | None, Query()] = None,
) -> Page[CredentialRead]:
    """By mailbox and reader, what was revealed or exported since then: for when a colleague leaves or a key leaks.

    It is read from the audit chain, in which each read stands before its answer left. Sign-ins to webmail are not
    here: they show no password.
    """
    rows = await repository.page(
        session, workspace_id, since=since, actor_id=actor_id, after=page.after_texts(2), limit=page.limit + 1
    )
    return page.page(rows, _view, lambda row: (row.mailbox_id, row.actor_id))


def _view(row: object) -> CredentialRead:
    return CredentialRead.model_validate(row, from_attributes=True)
