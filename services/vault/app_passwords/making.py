"""Making app passwords: the row when one is wanted, its secret at once or when its host asks for verifiers."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import passwords, verifiers
from services.vault.app_passwords.repository import FIELD
from services.vault.models import AppPassword, Mailbox, Secret
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets.service import SecretStore
from shared.identity import Identity
from shared.ids import new_id


def new_row(
    actor: Identity, mailbox: Mailbox, version: int, name: str, now: datetime, tool: str | None = None
) -> AppPassword:
    """An app password whose secret is still to be made."""
    return AppPassword(
        id=new_id("apw"),
        workspace_id=mailbox.workspace_id,
        mailbox_id=mailbox.id,
        version=version,
        name=name,
        tool=tool,
        created_by=actor.subject,
        created_at=now,
    )


class Made(NamedTuple):
    secret: Secret
    password: SecretBytes
    """For the caller to wipe."""


async def make(session: AsyncSession, store: SecretStore, mailbox: Mailbox, row: AppPassword) -> Made:
    """A pending secret of the row's version, and the row's selector."""
    row.selector, password = passwords.generate_app_password()
    secret = await store.seal(
        session,
        password,
        workspace_id=mailbox.workspace_id,
        owner_kind="mailbox",
        owner_id=mailbox.id,
        field=FIELD,
        version=row.version,
        state="pending",
        server_id=mailbox.server_id,
        verifier=await verifiers.make(password),
    )
    return Made(secret, password)
