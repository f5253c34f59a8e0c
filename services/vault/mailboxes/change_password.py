"""A new password for a mailbox: chosen by its owner within the house's policy, or made here."""

from __future__ import annotations

import re

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import verifiers
from services.vault.mailboxes import repository
from services.vault.mailboxes.changes import change
from services.vault.mailboxes.schemas import PasswordChange
from services.vault.mailboxes.service import FIELD, OWNER_KIND
from services.vault.models import Mailbox
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets import repository as secret_rows
from services.vault.secrets.service import SecretStore
from shared.audit import record
from shared.errors import NotFound
from shared.identity import Identity
from shared.passwords import PasswordPolicy, PasswordRefused

# What every mail program, sequencer and spreadsheet takes as it is: no other letters, no formula, no space at an end.
_FORM = re.compile(r"[A-Za-z0-9]([ -~]*[!-~])?")


class PasswordChanges:
    """The old password opens the mailbox until its host has the new one, and is destroyed then."""

    def __init__(self, store: SecretStore, policy: PasswordPolicy) -> None:
        self._store = store
        self._policy = policy

    async def set(
        self, session: AsyncSession, actor: Identity, mailbox_id: str, password: SecretStr, reason: str
    ) -> PasswordChange:
        """Keeps the chosen password, pending. Raises NotFound, PasswordRefused (422)."""
        mailbox = await _locked(session, mailbox_id)
        clear = SecretBytes(password.get_secret_value().encode("utf-8", "replace"))
        await self._check(session, mailbox, password, clear)
        made = await change(session, actor, mailbox)
        await _record(session, actor, mailbox, "vault.password.set", made.version, reason)
        await self._store.seal(
            session,
            clear,
            workspace_id=mailbox.workspace_id,
            owner_kind=OWNER_KIND,
            owner_id=mailbox.id,
            field=FIELD,
            version=made.version,
            state="pending",
            server_id=mailbox.server_id,
            verifier=await verifiers.make(clear),
        )
        clear.wipe()
        return PasswordChange(mailbox_id=mailbox.id, version=made.version, job_id=made.job_id)

    async def renew(
        self, session: AsyncSession, actor: Identity, mailbox_id: str, reason: str
    ) -> PasswordChange:
        """Has a new one made, when its host asks for the verifiers. Raises NotFound."""
        mailbox = await _locked(session, mailbox_id)
        made = await change(session, actor, mailbox)
        mailbox.password_due = made.version
        await _record(session, actor, mailbox, "vault.password.renewed", made.version, reason)
        return PasswordChange(mailbox_id=mailbox.id, version=made.version, job_id=made.job_id)

    async def _check(
        self, session: AsyncSession, mailbox: Mailbox, password: SecretStr, clear: SecretBytes
    ) -> None:
        self._policy.check(password, email=mailbox.address or "", name=mailbox.display_name)
        if not _FORM.fullmatch(password.get_secret_value()):
            raise PasswordRefused(
                "Begin with a letter or digit, go on with visible ASCII characters or spaces, do not end in a space.",
                next_action="Choose another password, or have one made by POST to the same path.",
            )
        for stored in await secret_rows.all_versions(session, OWNER_KIND, mailbox.id, FIELD):
            if await verifiers.matches(stored.verifier or "", clear):
                raise PasswordRefused("It is the present password.")


async def _locked(session: AsyncSession, mailbox_id: str) -> Mailbox:
    mailbox = await repository.lock(session, mailbox_id)
    if mailbox is None:
        raise NotFound
    return mailbox


async def _record(
    session: AsyncSession, actor: Identity, mailbox: Mailbox, action: str, version: int, reason: str
) -> None:
    await record(
        session, workspace_id=mailbox.workspace_id, actor=actor, action=action, target=mailbox.id, outcome="ok",
        reason=reason, data={"version": version},
    )  # fmt: skip
