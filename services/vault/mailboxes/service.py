"""Mailbox passwords: made once, verified everywhere, read only on record."""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import audited, passwords, verifiers
from services.vault.app_passwords import repository as app_passwords
from services.vault.app_passwords.making import make
from services.vault.credential_rotations import repository as rotations
from services.vault.errors import MailboxMoved, NoCredential
from services.vault.mailboxes import repository
from services.vault.mailboxes.schemas import RevealResponse
from services.vault.models import AppPassword, Mailbox, Secret
from services.vault.read_limits.service import ReadLimits
from services.vault.secrets import repository as secret_rows
from services.vault.secrets.service import SecretStore
from services.vault.servers import repository as servers
from services.vault.webmail import repository as webmail
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
        """The stored verifiers of all that shall open the mailbox; passwords that are wanted are made first.

        Of the mailbox's own passwords only the newest: it takes the place of the one before in one step at the host.
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
        own = await self._own(session, actor, mailbox)
        apps = [
            _verifier(secret or await self._app_password(session, actor, mailbox, row), row)
            for row, secret in await app_passwords.in_force(session, mailbox_id)
        ]
        return MailboxSecretResponse(
            mailbox_id=mailbox_id, version=mailbox.credentials_version, verifiers=(_verifier(own), *apps)
        )

    async def _own(self, session: AsyncSession, actor: Identity, mailbox: Mailbox) -> Secret:
        """The newest password of the mailbox's own, made when there is none or a newer one is due."""
        stored = await secret_rows.all_versions(session, OWNER_KIND, mailbox.id, FIELD)
        if stored and stored[-1].version >= mailbox.password_due:
            return stored[-1]
        if not stored:
            mailbox.credentials_version += 1
        version = mailbox.password_due if stored else mailbox.credentials_version
        await _record_made(session, actor, mailbox, {"version": version})
        password = passwords.generate()
        secret = await self._store.seal(
            session,
            password,
            workspace_id=mailbox.workspace_id,
            owner_kind=OWNER_KIND,
            owner_id=mailbox.id,
            field=FIELD,
            version=version,
            state="pending",
            server_id=mailbox.server_id,
            verifier=await verifiers.make(password),
        )
        password.wipe()
        return secret

    async def _app_password(
        self, session: AsyncSession, actor: Identity, mailbox: Mailbox, row: AppPassword
    ) -> Secret:
        await _record_made(session, actor, mailbox, {"version": row.version, "app_password_id": row.id})
        made = await make(session, self._store, mailbox, row)
        made.password.wipe()
        return made.secret

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
        """The host accepts the passwords of this version: what was pending up to it is current, what they replaced is
        destroyed. False for a version or mailbox that is not known here."""
        mailbox = await repository.lock(session, mailbox_id)
        if mailbox is None or mailbox.workspace_id != workspace_id or version > mailbox.credentials_version:
            return False
        now = self._clock.now()
        stored = await secret_rows.all_versions(session, OWNER_KIND, mailbox_id, FIELD)
        newest = next((row for row in reversed(stored) if row.version <= version), None)
        if newest is not None and newest.state == "pending":
            await secret_rows.delete_older(session, OWNER_KIND, mailbox_id, FIELD, than=newest.version)
            newest.state, newest.applied_at = "current", now
            await session.flush()
        await app_passwords.applied(session, mailbox_id, version, now)
        await rotations.applied(session, mailbox_id, version, now)
        return True

    async def moved(
        self, session: AsyncSession, workspace_id: str, mailbox_id: str, server_id: str, version: int
    ) -> None:
        """From now on the mailbox and its secrets belong to that server: it gets the verifiers, and when it is deleted
        they go with it. An older move changes nothing, nor does one to a server that is gone."""
        mailbox = await repository.lock(session, mailbox_id)
        if mailbox is None or mailbox.workspace_id != workspace_id or version <= mailbox.server_version:
            return
        if await servers.is_deleted(session, server_id):
            return
        mailbox.server_id, mailbox.server_version = server_id, version
        await secret_rows.move_to_server(session, OWNER_KIND, mailbox_id, server_id)

    async def removed(self, session: AsyncSession, workspace_id: str, mailbox_id: str) -> int:
        """Deletes the mailbox's secrets; how many."""
        await repository.bury(session, mailbox_id, workspace_id, self._clock.now())
        gone = repository.one(workspace_id, mailbox_id)
        await app_passwords.delete_of_mailboxes(session, gone)
        await rotations.gone(session, gone, self._clock.now())
        await webmail.delete_of_mailboxes(session, gone)
        return await secret_rows.delete_of_owner(session, workspace_id, OWNER_KIND, mailbox_id)


async def _record_made(
    session: AsyncSession, actor: Identity, mailbox: Mailbox, data: dict[str, object]
) -> None:
    await record(
        session, workspace_id=mailbox.workspace_id, actor=actor, action="vault.password.made",
        target=mailbox.id, outcome="ok", data=data,
    )  # fmt: skip


def _verifier(secret: Secret, app_password: AppPassword | None = None) -> Verifier:
    return Verifier(
        version=secret.version,
        state="current" if secret.state == "current" else "pending",
        hash=secret.verifier or "",
        selector=None if app_password is None else app_password.selector,
    )
