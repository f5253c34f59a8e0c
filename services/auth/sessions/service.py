"""Sign-in, refresh and the end of a session.

These use cases hold their own transactions: a failed sign-in is counted and a stolen family revoked although the
caller gets an error, and nobody keeps a connection while a password is being hashed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.access_tokens import LIFETIME_SECONDS, AccessTokens
from services.auth.errors import SessionEnded, SignInDelayed, SignInFailed
from services.auth.models import Account, RefreshToken, Session
from services.auth.passwords import PasswordHasher
from services.auth.second_factor.service import Proof, SecondFactors
from services.auth.sessions import attempts, delay, refresh_tokens, repository
from services.auth.sessions.schemas import TokenView
from shared.clock import Clock
from shared.db.database import Database
from shared.ids import new_id

IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)
GRACE = timedelta(seconds=10)
"""Two tabs, or a browser whose answer was lost, may show the old token once more within this time."""


@dataclass(frozen=True)
class SignedIn:
    view: TokenView
    refresh_token: SecretStr


class Sessions:
    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        tokens: AccessTokens,
        clock: Clock,
        pepper: SecretStr,
        second_factors: SecondFactors,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._tokens = tokens
        self._clock = clock
        self._pepper = pepper.get_secret_value().encode()
        self._second_factors = second_factors

    async def sign_in(
        self, email: str, password: SecretStr, client_ip: str | None, code: SecretStr | None = None
    ) -> SignedIn:
        """Raises SignInFailed (one answer for all reasons) or SignInDelayed; with a second factor also
        SecondFactorRequired, CodeRefused or CodeDelayed."""
        account = await self._check_password(email.strip().lower(), password, client_ip)
        proof = await self._second_factors.prove(account.id, code)
        now = self._clock.now()
        async with self._database.transaction(account_id=account.id) as session:
            await self._second_factors.redeem(session, account.id, proof)
            started = Session(
                id=new_id("ses"),
                account_id=account.id,
                created_at=now,
                authenticated_at=now,
                methods=list(proof.methods),
                idle_expires_at=now + IDLE,
                expires_at=now + ABSOLUTE,
            )
            session.add(started)
            await session.flush()
            token = self._add_token(session, started, now)
        return self._signed_in(started, token)

    async def _check_password(self, email: str, password: SecretStr, client_ip: str | None) -> Account:
        """The account whose password this is. Failed tries are on record however the request ends."""
        keys = delay.Keys.of(self._pepper, email, client_ip)
        await attempts.count(self._database, keys.rules(), self._clock.now(), SignInDelayed)
        async with self._database.transaction() as session:
            account = await repository.account_by_email(session, email)
        stored = account.password_hash if account else None
        verdict = await self._hasher.verify(password, stored)
        if account is None or stored is None or not verdict.matched:
            raise SignInFailed(next_action="Check both, or reset the password.")
        async with self._database.transaction(account_id=account.id) as session:
            await repository.forget_failures(session, [keys.pair, keys.address])
            await repository.uncount_attempt(session, keys.network)
            if verdict.rehashed:
                await repository.set_password_hash(session, account.id, stored, verdict.rehashed)
        return account

    async def reauthenticate(
        self, account_id: str, password: SecretStr, code: SecretStr | None, client_ip: str | None
    ) -> Proof:
        """Somebody who is signed in shows again that he is who he was; the caller redeems the proof. Raises what
        `sign_in` raises, and SessionEnded when the account is gone."""
        async with self._database.transaction() as session:
            account = await repository.account(session, account_id)
        if account is None:
            raise SessionEnded(next_action="Sign in.")
        account = await self._check_password(account.email, password, client_ip)
        return await self._second_factors.prove(account.id, code)

    async def step_up(
        self,
        account_id: str,
        session_id: str,
        password: SecretStr,
        code: SecretStr | None,
        client_ip: str | None,
    ) -> TokenView:
        """Makes the session as fresh as a new one. An answer that gets lost costs nothing: a refreshed access token
        says the same."""
        proof = await self.reauthenticate(account_id, password, code, client_ip)
        async with self._database.transaction(account_id=account_id) as session:
            await self._second_factors.redeem(session, account_id, proof)
            fresh = await repository.authenticated_again(
                session, session_id, account_id, self._clock.now(), list(proof.methods)
            )
            if fresh is None:
                raise SessionEnded(next_action="Sign in.")
        return self._access(fresh)

    async def refresh(self, presented: str) -> SignedIn:
        """Rotates the refresh token. Raises SessionEnded; a token used again later ends its whole family."""
        token_hash = refresh_tokens.digest(presented)
        signed_in = None
        if token_hash is not None:
            async with self._database.transaction() as session:
                signed_in = await self._rotate(session, presented, token_hash)
        if signed_in is None:
            raise SessionEnded(next_action="Sign in again.")
        return signed_in

    async def _rotate(self, session: AsyncSession, presented: str, token_hash: bytes) -> SignedIn | None:
        found = await repository.lock_family(session, token_hash)
        if found is None:
            return None
        family, token = found
        now = self._clock.now()
        if family.revoked_at is not None or now >= min(family.idle_expires_at, family.expires_at):
            return None
        if token.rotated_at is None:
            successor = self._add_token(session, family, now)
            token.rotated_at = now
            token.successor_sealed = refresh_tokens.seal(successor, presented)
            family.idle_expires_at = now + IDLE
            return self._signed_in(family, successor)
        if now - token.rotated_at <= GRACE and token.successor_sealed is not None:
            return self._signed_in(family, refresh_tokens.unseal(token.successor_sealed, presented))
        await end(session, family.id, now, "refresh token used twice")
        return None

    def _add_token(self, session: AsyncSession, family: Session, now: datetime) -> str:
        token = refresh_tokens.new_token()
        token_hash = refresh_tokens.digest(token)
        session.add(RefreshToken(token_hash=token_hash, session_id=family.id, created_at=now))
        return token

    def _signed_in(self, family: Session, refresh_token: str) -> SignedIn:
        return SignedIn(self._access(family), SecretStr(refresh_token))

    def _access(self, family: Session) -> TokenView:
        token = self._tokens.issue(
            account_id=family.account_id,
            session_id=family.id,
            authenticated_at=family.authenticated_at,
            methods=family.methods,
        )
        return TokenView(access_token=token, expires_in=LIFETIME_SECONDS)


async def end(session: AsyncSession, session_id: str, now: datetime, reason: str) -> None:
    """Ends a session and tells the gateways. Ending it twice is no error."""
    account_id = await repository.revoke(session, session_id, now, reason)
    if account_id is not None:
        await stream.session_revoked(session, session_id, account_id)
