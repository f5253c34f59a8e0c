"""Moving an account to another address, and taking it back.

The wish needs the password (and a code where there is a second factor), the new address confirms it, and the old one
is told and can take the account back for three days. Taking it back assumes a thief who knows the password: all
sessions end, a new password is set, and a second factor that was turned on since the wish goes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import SecretStr

from services.auth.account_parts import AccountParts
from services.auth.accounts.service import normalise_email
from services.auth.client import Client
from services.auth.credentials.repository import set_password
from services.auth.email_change import repository
from services.auth.email_change.schemas import ChangeEmail
from services.auth.errors import EmailRefused, LinkRefused, TooManyEmailChanges
from services.auth.models import EmailChange
from services.auth.notifications import repository as mail
from services.auth.second_factor import repository as second_factor
from services.auth.security_events import service as security_events
from services.auth.sessions.service import end_all
from shared.db.database import set_context
from shared.errors import Unauthenticated
from shared.ids import uuid7_hex

CONFIRM_WITHIN: Final = timedelta(hours=2)
UNDO_WITHIN: Final = timedelta(hours=72)
CHANGES_PER_HOUR: Final = 5


class EmailChanges:
    def __init__(self, parts: AccountParts) -> None:
        self._parts = parts

    async def request(
        self, account_id: str, wish: ChangeEmail, client: Client, *, allow_test_domain: bool
    ) -> None:
        """Raises what `Sessions.reauthenticate` raises, EmailRefused and TooManyEmailChanges. Whether the new address
        has an account already only its mailbox gets to know."""
        email = normalise_email(wish.email, allow_test_domain=allow_test_domain)
        proof = await self._parts.sessions.reauthenticate(account_id, wish.password, wish.code, client)
        now = self._parts.clock.now()
        async with self._parts.database.transaction(account_id=account_id) as session:
            await second_factor.lock_account(session, account_id, exclusive=True)
            await self._parts.second_factors.redeem(session, account_id, proof)
            account = await repository.account(session, account_id)
            if account is None:
                raise Unauthenticated("The account is gone.")
            if account.email == email:
                raise EmailRefused("This is the address that the account has.", field="email")
            if (
                await repository.asked_since(session, account_id, now - timedelta(hours=1))
                >= CHANGES_PER_HOUR
            ):
                raise TooManyEmailChanges(retry_after=3600)
            change = EmailChange(
                id=f"emc_{uuid7_hex()}",
                account_id=account_id,
                old_email=account.email,
                new_email=email,
                created_at=now,
                expires_at=now + CONFIRM_WITHIN,
            )
            await repository.replace(session, change)
            mail.enqueue(session, "email_change_link", change.id, now=now)
            security_events.record(session, account_id, "email_change_requested", client=client, now=now)

    async def confirm(self, token: SecretStr, client: Client) -> None:
        """Moves the account, once. Raises LinkRefused."""
        change_id = str(self._parts.links.verify("email+jwt", token.get_secret_value())["sub"])
        now = self._parts.clock.now()
        async with self._parts.database.transaction() as session:
            change = await repository.confirm(session, change_id, now, now + UNDO_WITHIN)
            if change is None:
                raise _dead_link()
            await set_context(session, account_id=change.account_id)
            if not await repository.set_email(
                session, change.account_id, change.new_email, instead_of=change.old_email
            ):
                raise _dead_link()
            mail.enqueue(session, "email_changed", change.id, now=now)
            security_events.record(session, change.account_id, "email_changed", client=client, now=now)

    async def undo(self, token: SecretStr, password: SecretStr, client: Client) -> SecretStr | None:
        """Back to the old address, with a new password. A device cookie, as after a reset. Raises LinkRefused,
        PasswordRefused."""
        change_id = str(self._parts.links.verify("undo+jwt", token.get_secret_value())["sub"])
        async with self._parts.database.transaction() as session:
            change = await repository.undoable(session, change_id, self._parts.clock.now())
            account = await repository.account(session, change.account_id) if change else None
        if change is None or account is None:
            raise _dead_link()
        self._parts.policy.check(password, email=change.old_email, name=account.name)
        hashed = await self._parts.hasher.hash(password)
        now = self._parts.clock.now()
        async with self._parts.database.transaction(account_id=account.id) as session:
            await second_factor.lock_account(session, account.id, exclusive=True)
            if not await repository.undo(session, change, now):
                raise _dead_link()
            if not await repository.set_email(session, account.id, change.old_email):
                raise _dead_link()
            await set_password(session, account.id, hashed, now)
            factor = await second_factor.second_factor(session, account.id)
            if factor is not None and factor.confirmed_at and factor.confirmed_at >= change.created_at:
                await second_factor.forget(session, account.id)
            await end_all(session, account.id, now, "e-mail change undone")
            security_events.record(session, account.id, "email_change_undone", client=client, now=now)
        return await self._parts.sessions.device_cookie(account.id)


def _dead_link() -> LinkRefused:
    return LinkRefused(
        "The link was used already, replaced by a newer one, or is too old.",
        next_action="Ask for the change again, or set a new password if this was not your doing.",
    )
