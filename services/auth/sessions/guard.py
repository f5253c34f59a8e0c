"""Who may try a password now: counted before the password is looked at, so that a thousand at once are a thousand.

Strangers are counted per pair of address and network, per address, per network, and all together. A browser with a
device cookie of the account is counted by that cookie alone, so whatever strangers do, its owner gets in.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.errors import SignInDelayed
from services.auth.models import Account
from services.auth.sessions import attempts, delay, repository
from services.auth.sessions.device_cookies import DeviceCookies
from shared.clock import Clock
from shared.db.database import Database

_THROTTLED = Counter("sc_sign_ins_throttled_total", "Tries put off because of too many failures everywhere")


@dataclass(frozen=True)
class Admission:
    """One counted try: what to forget and what to give back should it succeed."""

    known_device: bool
    forget: tuple[bytes, ...]
    uncount: bytes | None = None


class SignInGuard:
    def __init__(self, database: Database, clock: Clock, pepper: bytes) -> None:
        self._database = database
        self._clock = clock
        self._pepper = pepper
        self._cookies = DeviceCookies(pepper)

    async def admit(
        self, email: str, account: Account | None, cookie: SecretStr | None, client_ip: str | None
    ) -> Admission:
        """Counts the try. Raises SignInDelayed."""
        now = self._clock.now()
        nonce = self._cookies.nonce(cookie.get_secret_value() if cookie else None, account)
        if nonce is not None:
            key = delay.device_key(self._pepper, nonce)
            await attempts.count(self._database, {key: delay.DEVICE}, now, SignInDelayed)
            return Admission(known_device=True, forget=(key,))
        keys = delay.Keys.of(self._pepper, email, client_ip)
        async with self._database.transaction() as session:
            await attempts.count_in(session, keys.rules(), now, SignInDelayed)
            # Last, since everybody waits for this row until commit.
            if not await repository.take(session, delay.EVERYBODY, now):
                _THROTTLED.inc()
                raise SignInDelayed(
                    "Many sign-ins are failing everywhere. Wait, then try again.",
                    retry_after=delay.EVERYBODY.pause,
                    wait_seconds=delay.EVERYBODY.pause,
                )
        return Admission(known_device=False, forget=(keys.pair, keys.address), uncount=keys.network)

    async def succeeded(self, session: AsyncSession, admission: Admission) -> None:
        await repository.forget_failures(session, list(admission.forget))
        if admission.uncount is not None:
            await repository.uncount_attempt(session, admission.uncount)
            await repository.give_back(session, delay.EVERYBODY)

    def device_cookie(self, account: Account) -> SecretStr:
        """To be set in the browser that has just proved to be the owner's."""
        return SecretStr(self._cookies.issue(account))
