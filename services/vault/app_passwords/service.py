"""App passwords: one for each tool that signs in to a mailbox, each to be taken away by itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.app_passwords import repository
from services.vault.app_passwords.making import make, new_row
from services.vault.app_passwords.schemas import (
    AppPasswordCreated,
    AppPasswordView,
    NewAppPassword,
    Revocation,
)
from services.vault.errors import TooManyAppPasswords
from services.vault.mailboxes import repository as mailboxes
from services.vault.mailboxes.changes import change
from services.vault.models import AppPassword
from services.vault.read_limits.service import ReadLimits
from services.vault.secrets.service import SecretStore
from shared.audit import record
from shared.clock import Clock
from shared.errors import NotFound
from shared.identity import Identity
from shared.web.pagination import Page, PageRequest

MOST = 20


class AppPasswords:
    def __init__(self, store: SecretStore, limits: ReadLimits, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock

    async def create(
        self, session: AsyncSession, actor: Identity, mailbox_id: str, new: NewAppPassword
    ) -> AppPasswordCreated:
        """Shows the password after its audit row is written. Raises NotFound, TooManyAppPasswords (409),
        TooManyReads (429)."""
        mailbox = await mailboxes.lock(session, mailbox_id)
        if mailbox is None:
            raise NotFound
        await self._limits.take(session, actor, mailbox.workspace_id, "app_password")
        if await repository.count(session, mailbox_id) >= MOST:
            raise TooManyAppPasswords(
                f"A mailbox has at most {MOST} app passwords.", next_action="Revoke one that is not needed."
            )
        made = await change(session, actor, mailbox)
        row = new_row(actor, mailbox, made.version, new.name, self._clock.now())
        session.add(row)
        await record(
            session, workspace_id=mailbox.workspace_id, actor=actor, action="vault.app_password.created",
            target=mailbox_id, outcome="ok", reason=new.reason,
            data={"app_password_id": row.id, "name": row.name, "version": row.version},
        )  # fmt: skip
        password = (await make(session, self._store, mailbox, row)).password
        shown = password.reveal().decode()
        password.wipe()
        return AppPasswordCreated(
            id=row.id,
            mailbox_id=mailbox_id,
            name=row.name,
            username=mailbox.address or "",
            password=shown,
            version=row.version,
            job_id=made.job_id,
        )

    async def page(
        self, session: AsyncSession, mailbox_id: str, request: PageRequest
    ) -> Page[AppPasswordView]:
        """Raises NotFound."""
        if await mailboxes.get(session, mailbox_id) is None:
            raise NotFound
        rows = await repository.page(session, mailbox_id, request.after_id, request.limit + 1)
        return request.page(rows, _view, lambda found: found[0].id)

    async def used(
        self, session: AsyncSession, workspace_id: str, mailbox_id: str, uses: Mapping[int, datetime]
    ) -> None:
        """A host has told when passwords of these versions last signed in."""
        await repository.used(session, workspace_id, mailbox_id, uses, self._clock.now())

    async def revoke(self, session: AsyncSession, actor: Identity, app_password_id: str) -> Revocation:
        """Destroys the secret and takes it from the host. Raises NotFound, also for one that was revoked."""
        mailbox_id = await repository.mailbox_of(session, app_password_id)
        mailbox = None if mailbox_id is None else await mailboxes.lock(session, mailbox_id)
        row = await repository.get(session, app_password_id)
        if mailbox is None or row is None:
            raise NotFound
        made = await change(session, actor, mailbox)
        await repository.revoke(session, row, made.version, self._clock.now())
        await record(
            session, workspace_id=mailbox.workspace_id, actor=actor, action="vault.app_password.revoked",
            target=row.id, outcome="ok",
            data={"mailbox_id": mailbox.id, "name": row.name, "version": made.version},
        )  # fmt: skip
        return Revocation(mailbox_id=mailbox.id, version=made.version, job_id=made.job_id)


def _view(found: Row[AppPassword, str | None]) -> AppPasswordView:
    row, known = found[0], found[1]
    state = "active" if known == "current" else "pending"
    return AppPasswordView.model_validate(
        {
            "id": row.id,
            "mailbox_id": row.mailbox_id,
            "name": row.name,
            "tool": row.tool,
            "version": row.version,
            "state": state if row.revoked_version is None else "revoking",
            "created_by": row.created_by,
            "created_at": row.created_at,
            "last_used_at": row.last_used_at,
        }
    )
