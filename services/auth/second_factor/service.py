"""The second factor: shown, checked and used up at a sign-in.

Checking and using up are two steps, since a recovery code is hashed without holding a connection: `prove` looks at
the code, `redeem` uses it up in the transaction of what it was for. What `prove` found is good once, and only
for the factor that it saw.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.client import Client
from services.auth.errors import CodeDelayed, CodeRefused, SecondFactorRequired
from services.auth.models import SecondFactor
from services.auth.passwords import PasswordHasher
from services.auth.sealing import Sealing
from services.auth.second_factor import recovery_codes, repository, totp
from services.auth.security_events import service as security_events
from services.auth.sessions import attempts, delay
from services.auth.sessions.repository import forget_failures
from shared.clock import Clock
from shared.db.database import Database

PASSWORD = ("pwd",)
PASSWORD_AND_CODE = ("pwd", "otp", "mfa")
"""RFC 8176 names. A recovery code is a one-time password as well."""


@dataclass(frozen=True)
class Proof:
    """What somebody has shown beside the password: nothing, the code of a step, or a recovery code."""

    methods: tuple[str, ...] = PASSWORD
    confirmed_at: datetime | None = None
    step: int | None = None
    handle: str = ""
    code_hash: str = ""
    client: Client = field(default_factory=Client)


class SecondFactors:
    def __init__(
        self, database: Database, hasher: PasswordHasher, sealing: Sealing, clock: Clock, pepper: SecretStr
    ) -> None:
        self._database = database
        self._hasher = hasher
        self.sealing = sealing
        self._clock = clock
        self._pepper = pepper.get_secret_value().encode()

    async def prove(self, account_id: str, code: SecretStr | None, client: Client) -> Proof:
        """Call it once the password is known to be right. Raises SecondFactorRequired, CodeRefused, CodeDelayed."""
        async with self._database.transaction(account_id=account_id) as session:
            factor = await repository.second_factor(session, account_id)
        if factor is None or factor.confirmed_at is None:
            return Proof()
        if code is None:
            raise SecondFactorRequired
        now = self._clock.now()
        rules = {delay.code_key(self._pepper, account_id): delay.CODE}
        tries = await attempts.count(self._database, rules, now, CodeDelayed)
        proof = await self._look(account_id, factor, code.get_secret_value(), now)
        if proof is None:
            if tries == delay.CODE.free:
                await self._warn(account_id, client, now)
            raise CodeRefused
        return replace(proof, client=client)

    async def _look(self, account_id: str, factor: SecondFactor, code: str, now: datetime) -> Proof | None:
        shown = recovery_codes.parse(code)
        if shown is not None:
            return await self._prove_recovery(account_id, factor.confirmed_at, shown)
        key = self.sealing.open(factor.key_sealed, account_id)
        step = totp.matching_step(key, code, now, factor.last_step)
        return None if step is None else Proof(PASSWORD_AND_CODE, factor.confirmed_at, step=step)

    async def _prove_recovery(
        self, account_id: str, confirmed_at: datetime | None, shown: recovery_codes.RecoveryCode
    ) -> Proof | None:
        async with self._database.transaction(account_id=account_id) as session:
            row = await repository.recovery_code(session, account_id, shown.handle)
        stored = row.code_hash if row is not None and row.used_at is None else None
        verdict = await self._hasher.verify(SecretStr(shown.secret), stored)
        if stored is None or not verdict.matched:
            return None
        return Proof(PASSWORD_AND_CODE, confirmed_at, handle=shown.handle, code_hash=stored)

    async def _warn(self, account_id: str, client: Client, now: datetime) -> None:
        """The password is known to whoever guesses here: its owner has to hear of it."""
        async with self._database.transaction(account_id=account_id) as session:
            security_events.record(session, account_id, "code_guessed", client=client, now=now)

    async def redeem(self, session: AsyncSession, account_id: str, proof: Proof) -> None:
        """Uses the proof up. Raises CodeRefused when somebody else did before, or the factor has changed since."""
        await repository.lock_account(session, account_id)
        factor = await repository.second_factor(session, account_id)
        on_since = factor.confirmed_at if factor is not None else None
        if proof.confirmed_at is None:
            if on_since is not None:
                raise SecondFactorRequired
            return
        if factor is None or on_since != proof.confirmed_at:
            raise CodeRefused
        if proof.step is not None:
            used = await repository.use_step(session, account_id, proof.confirmed_at, proof.step)
        else:
            used = await self._use_recovery_code(session, account_id, proof)
        if not used:
            raise CodeRefused
        if self.sealing.outdated(factor.key_sealed):
            factor.key_sealed = self.sealing.seal(
                self.sealing.open(factor.key_sealed, account_id), account_id
            )
        await forget_failures(session, [delay.code_key(self._pepper, account_id)])

    async def _use_recovery_code(self, session: AsyncSession, account_id: str, proof: Proof) -> bool:
        now = self._clock.now()
        if not await repository.use_recovery_code(session, account_id, proof.handle, proof.code_hash, now):
            return False
        left = await repository.recovery_codes_left(session, account_id)
        security_events.record(
            session, account_id, "recovery_code_used", client=proof.client, now=now, left=str(left)
        )
        return True
