"""Changing a password that is known, and replacing one that is not.

Like sign-in these use cases hold their own transactions: a wrong password is counted although the caller gets an
error, and nobody keeps a connection while a password is being hashed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import SecretStr

from services.auth.account_parts import AccountParts
from services.auth.accounts.service import normalise_email
from services.auth.client import Client
from services.auth.credentials import repository
from services.auth.credentials.schemas import ChangePassword
from services.auth.errors import LinkRefused, PasswordChangedMeanwhile
from services.auth.notifications import repository as mail
from services.auth.security_events import service as security_events
from services.auth.sessions.service import end_all
from shared.errors import Unauthenticated
from shared.ids import uuid7_hex

RESET_LIFETIME: Final = timedelta(minutes=30)
RESET_SPACING: Final = timedelta(minutes=5)
"""Between two mails to one address. No cap beyond that: whoever asks in somebody's name all day long cannot use up
his mails, nor replace a link that is younger."""


class Credentials:
    def __init__(self, parts: AccountParts) -> None:
        self._parts = parts

    async def change(
        self, account_id: str, session_id: str | None, request: ChangePassword, client: Client
    ) -> tuple[int, SecretStr | None]:
        """How many other sessions have ended, and a new device cookie, since the old ones went with the password.

        Raises what `Sessions.reauthenticate` raises, and PasswordRefused.
        """
        new = request.new_password
        stored = await self._parts.sessions.check_password_again(account_id, request.current_password)
        proof = await self._parts.second_factors.prove(account_id, request.code, client)
        async with self._parts.database.transaction(account_id=account_id) as session:
            account = await repository.account(session, account_id)
        if account is None:
            raise Unauthenticated("The account is gone.")
        self._parts.policy.check(new, email=account.email, name=account.name)
        hashed = await self._parts.hasher.hash(new)
        now = self._parts.clock.now()
        async with self._parts.database.transaction(account_id=account_id) as session:
            if not await repository.set_password(session, account_id, hashed, now, instead_of=stored):
                raise PasswordChangedMeanwhile(next_action="Sign in with the new password.")
            await self._parts.second_factors.redeem(session, account_id, proof)
            ended = await end_all(session, account_id, now, "password changed", except_id=session_id)
            security_events.record(session, account_id, "password_changed", client=client, now=now)
        return ended, await self._parts.sessions.device_cookie(account_id)

    async def request_reset(self, address: str, *, allow_test_domain: bool) -> None:
        """Does the same for every address; the worker finds out whether there is somebody to write to."""
        email = normalise_email(address, allow_test_domain=allow_test_domain)
        now = self._parts.clock.now()
        async with self._parts.database.transaction() as session:
            await mail.one_at_a_time(session, email)
            if await repository.reset_asked_since(session, email, now - RESET_SPACING):
                return
            row = {
                "id": f"rst_{uuid7_hex()}",
                "email": email,
                "created_at": now,
                "expires_at": now + RESET_LIFETIME,
            }
            if await repository.replace_reset(session, row):
                mail.enqueue(session, "password_reset_link", str(row["id"]), now=now)

    async def complete_reset(self, token: SecretStr, password: SecretStr, client: Client) -> SecretStr | None:
        """Sets the password and ends every session; a second factor stays. The browser that did it gets a device
        cookie, so that its owner can sign in whatever others try. Raises LinkRefused, PasswordRefused."""
        reset_id = str(self._parts.links.verify("reset+jwt", token.get_secret_value())["sub"])
        async with self._parts.database.transaction() as session:
            row = await repository.open_reset(session, reset_id, self._parts.clock.now())
            account = await repository.account_by_email(session, row.email) if row else None
        if account is None:
            raise _dead_link()
        self._parts.policy.check(password, email=account.email, name=account.name)
        hashed = await self._parts.hasher.hash(password)
        now = self._parts.clock.now()
        async with self._parts.database.transaction(account_id=account.id) as session:
            if not await repository.use_reset(session, reset_id, now):
                raise _dead_link()
            await repository.set_password(session, account.id, hashed, now)
            await repository.close_email_changes(session, account.id, now)
            await end_all(session, account.id, now, "password reset")
            security_events.record(session, account.id, "password_reset", client=client, now=now)
        return await self._parts.sessions.device_cookie(account.id)


def _dead_link() -> LinkRefused:
    return LinkRefused(
        "The link was used already, replaced by a newer one, or is older than 30 minutes.",
        next_action="Ask for a new one.",
    )
