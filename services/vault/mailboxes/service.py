"""Mailbox passwords: made once, verified everywhere, read only on record."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited, passwords, verifiers
from services.vault.errors import MailboxMoved, NoCredential
from services.vault.mailboxes import repository
from services.vault.mailboxes.schemas import RevealResponse
from services.vault.models import Mailbox, Secret
from services.vault.read_limits.service import ReadLimits
from services.vault.secrets import repository as secret_rows
from services.vault.secrets.service import SecretStore
from services.vault.servers import repository as servers
from shared.audit import record
from shared.clock import Clock
from shared.contracts.vault_api import MailboxSecretRequest, MailboxSecretResponse, Verifier
from shared.errors import Invalid, NotFound
from shared.identity import Identity

OWNER_KIND: Final = "mailbox"
FIELD = "password"

# What a mailbox's address may be here: it is written into other programs' import files, so no control characters,
# no quoting, and no first character that a spreadsheet takes for a formula.
_ADDRESS = re.compile(
    r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}"
)


class Mailboxes:
    def __init__(self, store: SecretStore, limits: ReadLimits, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock

    async def verifiers(
        self, session: AsyncSession, actor: Identity, mailbox_id: str, request: MailboxSecretRequest
    ) -> MailboxSecretResponse:
        """The complete stored set of verifiers; the first password is made when there is none.

        Callers at the same time wait for one another, so all get the same set. Raises NotFound for a mailbox of
        another workspace, a removed one, or one of a server that is gone; MailboxMoved (409) when it is known
        under another server or address; KeyServiceUnavailable when a password would have to be sealed.
        """
        if not _ADDRESS.fullmatch(request.address):
            raise Invalid("This is not an address that can be served.", field="body.address")
        if await servers.is_deleted(session, request.server_id):
            raise NotFound
        mailbox = await repository.claim(
            session, mailbox_id, request.workspace_id, request.server_id, request.address
        )
        if mailbox is None:
            raise NotFound
        if (mailbox.server_id, mailbox.address) != (request.server_id, request.address):
            raise MailboxMoved(f"{mailbox_id} is another mailbox.", field="body.address")
        if request.display_name is not None:
            mailbox.display_name = request.display_name
        stored = list(await secret_rows.all_versions(session, OWNER_KIND, mailbox_id, FIELD))
        if not stored:
            stored = [await self._make(session, actor, mailbox)]
        return MailboxSecretResponse(mailbox_id=mailbox_id, verifiers=tuple(_verifier(row) for row in stored))

    async def _make(self, session: AsyncSession, actor: Identity, mailbox: Mailbox) -> Secret:
        await record(
            session, workspace_id=mailbox.workspace_id, actor=actor, action="vault.password.made",
            target=mailbox.id, outcome="ok", data={"version": 1},
        )  # fmt: skip
        password = passwords.generate()
        secret = await self._store.seal(
            session,
            password,
            workspace_id=mailbox.workspace_id,
            owner_kind=OWNER_KIND,
            owner_id=mailbox.id,
            field=FIELD,
            version=1,
            state="pending",
            server_id=mailbox.server_id,
            verifier=await verifiers.make(password),
        )
        password.wipe()
        return secret

    async def reveal(
        self, session: AsyncSession, actor: Identity, mailbox_id: str, reason: str
    ) -> RevealResponse:
        """The password, after its audit row is written. Raises NotFound, NoCredential (409), TooManyReads (429)."""
        mailbox = await repository.get(session, mailbox_id)
        if mailbox is None:
            raise NotFound
        secret = await secret_rows.in_use(session, OWNER_KIND, mailbox_id, FIELD)
        if secret is None:
            raise NoCredential("Its password is made when the mailbox is set up on its server.")
        await self._limits.take(session, actor, mailbox.workspace_id, "reveal")
        access = await audited.grant(
            session, actor, workspace_id=mailbox.workspace_id, purpose="reveal",
            action="vault.credential.revealed", target=mailbox_id, owners=[mailbox_id], reason=reason,
            data={"version": secret.version},
        )  # fmt: skip
        password = await self._store.open(access, secret)
        address = mailbox.address or ""
        return RevealResponse(
            mailbox_id=mailbox_id,
            address=address,
            username=address,
            password=password.reveal().decode(),
            version=secret.version,
            state="current" if secret.state == "current" else "pending",
            changed_at=secret.created_at,
        )

    async def applied(self, session: AsyncSession, workspace_id: str, mailbox_id: str, version: int) -> bool:
        """The host accepts this version: pending becomes current, older ones go. False when it is not pending."""
        stored = await secret_rows.all_versions(session, OWNER_KIND, mailbox_id, FIELD)
        pending = next((row for row in stored if row.version == version and row.state == "pending"), None)
        if pending is None or pending.workspace_id != workspace_id:
            return False
        await secret_rows.delete_older(session, OWNER_KIND, mailbox_id, FIELD, than=version)
        pending.state = "current"
        pending.applied_at = self._clock.now()
        await session.flush()
        return True

    async def removed(self, session: AsyncSession, workspace_id: str, mailbox_id: str) -> int:
        """Deletes the mailbox's secrets; how many."""
        await repository.bury(session, mailbox_id, workspace_id, self._clock.now())
        return await secret_rows.delete_of_owner(session, workspace_id, OWNER_KIND, mailbox_id)


def _verifier(secret: Secret) -> Verifier:
    return Verifier(
        version=secret.version,
        state="current" if secret.state == "current" else "pending",
        hash=secret.verifier or "",
    )
