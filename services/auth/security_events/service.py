"""The record of what happened to a person's account. He reads it, and of most of it he gets a mail at once."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.client import Client
from services.auth.models import SecurityEvent
from services.auth.notifications import repository as mail
from services.auth.security_events import repository
from services.auth.security_events.schemas import Kind, SecurityEventView
from shared.ids import uuid7_hex
from shared.web.pagination import Page, PageRequest

QUIET: Final[frozenset[Kind]] = frozenset(
    {"session_ended", "other_sessions_ended", "email_change_requested", "email_changed"}
)
"""Without a mail of this kind: what the person does to his own sessions, and the steps of an e-mail change, which
send mails of their own to the addresses concerned."""


def record(
    session: AsyncSession, account_id: str, kind: Kind, *, client: Client, now: datetime, **data: str
) -> None:
    """Writes it down, and queues the mail, in the transaction that does it.

    The transaction's account must be `account_id`. `data` is for the letter: references and addresses, no secret.
    """
    repository.add(
        session,
        SecurityEvent(
            id=f"sev_{uuid7_hex(int(now.timestamp() * 1000))}",
            account_id=account_id,
            at=now,
            kind=kind,
            device=client.device,
            network=client.network,
            data=data,
        ),
    )
    if kind not in QUIET:
        details = {"device": client.device, "network": client.network, "at": f"{now:%Y-%m-%d %H:%M} UTC"}
        mail.enqueue(session, kind, account_id, now=now, account_id=account_id, data={**details, **data})


async def page(session: AsyncSession, account_id: str, request: PageRequest) -> Page[SecurityEventView]:
    rows = await repository.page(session, account_id, before_id=request.after_id, limit=request.limit + 1)
    return request.page(rows, _view, lambda row: row.id)


def _view(row: SecurityEvent) -> SecurityEventView:
    return SecurityEventView.model_validate(
        {"id": row.id, "at": row.at, "kind": row.kind, "device": row.device, "network": row.network}
    )
