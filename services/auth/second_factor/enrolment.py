"""Turning a second factor on and off, and its recovery codes.

Each live session of an account whose factor is on was authenticated with it: turning it on ends all others, and a
sign-in that was under way either is ended too or sees the factor (`lock_account`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.client import Client
from services.auth.errors import CodeMismatch, SecondFactorOff, SecondFactorOn
from services.auth.models import SecondFactor
from services.auth.passwords import PasswordHasher
from services.auth.second_factor import recovery_codes, repository, totp
from services.auth.second_factor.schemas import AuthenticatorKey, RecoveryCodes, SecondFactorView
from services.auth.second_factor.service import PASSWORD_AND_CODE, Proof, SecondFactors
from services.auth.security_events import service as security_events
from services.auth.security_events.schemas import Kind
from services.auth.sessions.service import Sessions, end_all
from shared.clock import Clock
from shared.db.database import Database
from shared.errors import Unauthenticated
from shared.identity.model import Identity

TIME_TO_CONFIRM = timedelta(minutes=30)


class Enrolment:
    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        clock: Clock,
        factors: SecondFactors,
        sessions: Sessions,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._clock = clock
        self._factors = factors
        self._sessions = sessions

    async def view(self, account_id: str) -> SecondFactorView:
        async with self._database.transaction(account_id=account_id) as session:
            factor = await repository.second_factor(session, account_id)
            left = await repository.recovery_codes_left(session, account_id)
        if factor is not None and factor.confirmed_at is not None:
            return SecondFactorView(state="on", on_since=factor.confirmed_at, recovery_codes_left=left)
        pending = factor is not None and self._in_time(factor)
        return SecondFactorView(state="pending" if pending else "off", on_since=None, recovery_codes_left=0)

    async def start(self, person: Identity, password: SecretStr, client: Client) -> AuthenticatorKey:
        """A key that waits for its first code. Raises SecondFactorOn."""
        if (await self.view(person.subject)).state == "on":
            raise SecondFactorOn(next_action="Turn it off first, to use another authenticator.")
        proof = await self._sessions.reauthenticate(person.subject, password, None, client)
        key = totp.new_key()
        async with self._database.transaction(account_id=person.subject) as session:
            account = await repository.lock_account(session, person.subject, exclusive=True)
            if account is None:
                raise Unauthenticated("The account is gone.")
            await self._factors.redeem(session, person.subject, proof)
            sealed = self._factors.sealing.seal(key, person.subject)
            if not await repository.put_pending(session, person.subject, sealed, self._clock.now()):
                raise SecondFactorOn
        return AuthenticatorKey(otpauth_uri=totp.uri(key, account.email), secret=totp.secret_text(key))

    async def confirm(self, person: Identity, code: SecretStr, client: Client) -> RecoveryCodes:
        """Raises CodeMismatch, SecondFactorOn, or SecondFactorOff when there is no key that waits."""
        async with self._database.transaction(account_id=person.subject) as session:
            factor = await repository.second_factor(session, person.subject)
        if factor is not None and factor.confirmed_at is not None:
            raise SecondFactorOn(next_action="Make new recovery codes if you have not seen them.")
        if factor is None or not self._in_time(factor):
            raise SecondFactorOff("No key waits for its first code.", next_action="Begin again.")
        now = self._clock.now()
        key = self._factors.sealing.open(factor.key_sealed, person.subject)
        step = totp.matching_step(key, code.get_secret_value(), now, factor.last_step)
        if step is None:
            raise CodeMismatch(
                field="code", next_action="Check the clock of the device, then try the next code."
            )
        codes, hashes = await self._new_codes()
        async with self._database.transaction(account_id=person.subject) as session:
            await repository.lock_account(session, person.subject, exclusive=True)
            if not await repository.confirm(session, person.subject, factor.key_sealed, step, now):
                raise SecondFactorOn(next_action="Make new recovery codes if you have not seen them.")
            await repository.replace_recovery_codes(session, person.subject, hashes)
            await self._leave_only(session, person, now)
            self._record(session, person, "second_factor_on", client)
        return codes

    async def replace_recovery_codes(
        self, person: Identity, password: SecretStr, code: SecretStr | None, client: Client
    ) -> RecoveryCodes:
        proof = await self._sessions.reauthenticate(person.subject, password, code, client)
        codes, hashes = await self._new_codes()
        async with self._database.transaction(account_id=person.subject) as session:
            await self._redeem(session, person, proof)
            await repository.replace_recovery_codes(session, person.subject, hashes)
            self._record(session, person, "recovery_codes_replaced", client)
        return codes

    async def turn_off(
        self, person: Identity, password: SecretStr, code: SecretStr | None, client: Client
    ) -> None:
        proof = await self._sessions.reauthenticate(person.subject, password, code, client)
        async with self._database.transaction(account_id=person.subject) as session:
            await self._redeem(session, person, proof)
            await repository.forget(session, person.subject)
            self._record(session, person, "second_factor_off", client)

    async def _redeem(self, session: AsyncSession, person: Identity, proof: Proof) -> None:
        """For changes of a factor that is on."""
        await repository.lock_account(session, person.subject, exclusive=True)
        await self._factors.redeem(session, person.subject, proof)
        if proof.confirmed_at is None:
            raise SecondFactorOff(next_action="Turn it on first.")

    async def _leave_only(self, session: AsyncSession, person: Identity, now: datetime) -> None:
        """The session at hand has just shown a code; the others have not."""
        current = person.session_id or ""
        await repository.set_methods(session, current, PASSWORD_AND_CODE)
        await end_all(session, person.subject, now, "second factor turned on", except_id=current)

    async def _new_codes(self) -> tuple[RecoveryCodes, dict[str, str]]:
        codes = recovery_codes.new_codes()
        hashes = {code.handle: await self._hasher.hash(SecretStr(code.secret)) for code in codes}
        return RecoveryCodes(recovery_codes=[code.text() for code in codes]), hashes

    def _record(self, session: AsyncSession, person: Identity, kind: Kind, client: Client) -> None:
        security_events.record(session, person.subject, kind, client=client, now=self._clock.now())

    def _in_time(self, factor: SecondFactor) -> bool:
        return self._clock.now() - factor.created_at <= TIME_TO_CONFIRM
