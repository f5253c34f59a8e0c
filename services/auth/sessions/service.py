"""Sign-in, refresh and the end of a session.

These use cases hold their own transactions: a failed sign-in is counted and a stolen family revoked although the
caller gets an error, and nobody keeps a connection while a password is being hashed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth import stream
from services.auth.access_tokens import LIFETIME_SECONDS, AccessTokens
from services.auth.client import Client
from services.auth.errors import SessionEnded, SignInDelayed, SignInFailed
from services.auth.models import Account, RefreshToken, Session
from services.auth.passwords import PasswordHasher
from services.auth.second_factor.repository import lock_account
from services.auth.second_factor.service import Proof, SecondFactors
from services.auth.security_events import service as security_events
from services.auth.sessions import attempts, delay, refresh_tokens, repository
from services.auth.sessions.guard import SignInGuard
from services.auth.sessions.schemas import SessionView, TokenView
from shared.clock import Clock
from shared.db.database import Database, set_context
from shared.errors import NotFound
from shared.ids import new_id
from shared.web.pagination import Page, PageRequest

IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)
GRACE = timedelta(seconds=10)
"""Two tabs, or a browser whose answer was lost, may show the old token once more within this time."""


@dataclass(frozen=True)
class SignedIn:
    view: TokenView
    refresh_token: SecretStr
    device_cookie: SecretStr | None = None


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
        self._guard = SignInGuard(database, clock, self._pepper)

    async def sign_in(
        self,
        email: str,
        password: SecretStr,
        client: Client,
        *,
        code: SecretStr | None = None,
        device_cookie: SecretStr | None = None,
    ) -> SignedIn:
        """Raises SignInFailed (one answer for all reasons) or SignInDelayed; with a second factor also
        SecondFactorRequired, CodeRefused or CodeDelayed."""
        account, checked, known_device = await self._check_password(
            email.strip().lower(), password, client, device_cookie
        )
        proof = await self._second_factors.prove(account.id, code, client)
        now = self._clock.now()
        async with self._database.transaction(account_id=account.id) as session:
            await _require_unchanged(session, account.id, checked)
            await self._second_factors.redeem(session, account.id, proof)
            if not known_device and await repository.has_signed_in(session, account.id):
                security_events.record(session, account.id, "new_device", client=client, now=now)
            started = Session(
                id=new_id("ses"),
                account_id=account.id,
                created_at=now,
                authenticated_at=now,
                methods=list(proof.methods),
                idle_expires_at=now + IDLE,
                expires_at=now + ABSOLUTE,
                device=client.device,
                network=client.network,
                last_used_at=now,
            )
            session.add(started)
            await session.flush()
            token = self._add_token(session, started, now)
        return replace(self._signed_in(started, token), device_cookie=self._guard.device_cookie(account))

    async def _check_password(
        self, email: str, password: SecretStr, client: Client, device_cookie: SecretStr | None
    ) -> tuple[Account, str, bool]:
        """The account whose password this is, the hash that it has now, and whether the browser is known. Failed
        tries are on record however the request ends."""
        async with self._database.transaction() as session:
            account = await repository.account_by_email(session, email)
        admission = await self._guard.admit(email, account, device_cookie, client.ip)
        stored = account.password_hash if account else None
        verdict = await self._hasher.verify(password, stored)
        if account is None or stored is None or not verdict.matched:
            raise SignInFailed(next_action="Check both, or reset the password.")
        async with self._database.transaction(account_id=account.id) as session:
            await self._guard.succeeded(session, admission)
            if verdict.rehashed:
                await repository.set_password_hash(session, account.id, stored, verdict.rehashed)
        return account, verdict.rehashed or stored, admission.known_device

    async def device_cookie(self, account_id: str) -> SecretStr | None:
        """For the browser in which the password has just been set."""
        async with self._database.transaction(account_id=account_id) as session:
            account = await repository.account(session, account_id)
        return None if account is None else self._guard.device_cookie(account)

    async def reauthenticate(
        self, account_id: str, password: SecretStr, code: SecretStr | None, client: Client
    ) -> Proof:
        """Somebody who is signed in shows again that he is who he was; the caller redeems the proof. Raises what
        `sign_in` raises."""
        await self.check_password_again(account_id, password)
        return await self._second_factors.prove(account_id, code, client)

    async def check_password_again(self, account_id: str, password: SecretStr) -> str:
        """The stored hash that the password matched, for somebody who is signed in already.

        Raises SignInFailed, or SignInDelayed after too many wrong ones. They are counted per account and apart from
        sign-ins: a thief of a session cannot guess on, and strangers who try to sign in do not slow the owner here.
        """
        key = delay.reauthentication_key(self._pepper, account_id)
        await attempts.count(self._database, {key: delay.PAIR}, self._clock.now(), SignInDelayed)
        async with self._database.transaction(account_id=account_id) as session:
            account = await repository.account(session, account_id)
        stored = account.password_hash if account else None
        if not (await self._hasher.verify(password, stored)).matched or stored is None:
            raise SignInFailed("The password is wrong.", next_action="Check it, or reset the password.")
        async with self._database.transaction(account_id=account_id) as session:
            await repository.forget_failures(session, [key])
        return stored

    async def step_up(
        self,
        account_id: str,
        session_id: str,
        password: SecretStr,
        code: SecretStr | None,
        client: Client,
    ) -> TokenView:
        """Makes the session as fresh as a new one. An answer that gets lost costs nothing: a refreshed access token
        says the same."""
        proof = await self.reauthenticate(account_id, password, code, client)
        async with self._database.transaction(account_id=account_id) as session:
            await self._second_factors.redeem(session, account_id, proof)
            fresh = await repository.authenticated_again(
                session, session_id, account_id, self._clock.now(), list(proof.methods)
            )
            if fresh is None:
                raise SessionEnded(next_action="Sign in.")
        return self._access(fresh)

    async def refresh(self, presented: str, client: Client) -> SignedIn:
        """Rotates the refresh token. Raises SessionEnded; a token used again later ends its whole family."""
        token_hash = refresh_tokens.digest(presented)
        signed_in = None
        if token_hash is not None:
            async with self._database.transaction() as session:
                signed_in = await self._rotate(session, presented, token_hash, client)
        if signed_in is None:
            raise SessionEnded(next_action="Sign in again.")
        return signed_in

    async def _rotate(
        self, session: AsyncSession, presented: str, token_hash: bytes, client: Client
    ) -> SignedIn | None:
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
            family.last_used_at, family.network = now, client.network
            return self._signed_in(family, successor)
        if now - token.rotated_at <= GRACE and token.successor_sealed is not None:
            return self._signed_in(family, refresh_tokens.unseal(token.successor_sealed, presented))
        await set_context(session, account_id=family.account_id)
        await end(session, family.id, now, "refresh token used twice")
        security_events.record(session, family.account_id, "refresh_token_reused", client=client, now=now)
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


async def end_own(
    session: AsyncSession, account_id: str, session_id: str, *, client: Client, now: datetime
) -> None:
    """Ends one of the person's own sessions. Raises NotFound when it is not his, or over already."""
    if (
        await repository.revoke(session, session_id, now, "ended by the person", account_id=account_id)
        is None
    ):
        raise NotFound
    await stream.session_revoked(session, session_id, account_id)
    security_events.record(
        session, account_id, "session_ended", client=client, now=now, session_id=session_id
    )


async def end_others(
    session: AsyncSession, account_id: str, current_id: str | None, *, client: Client, now: datetime
) -> int:
    """How many of the person's other sessions this has ended."""
    ended = await end_all(session, account_id, now, "ended by the person", except_id=current_id)
    if ended:
        security_events.record(session, account_id, "other_sessions_ended", client=client, now=now)
    return ended


async def end_all(
    session: AsyncSession, account_id: str, now: datetime, reason: str, *, except_id: str | None = None
) -> int:
    """Ends every session of the account but one, and tells the gateways; how many they were."""
    found = await repository.lock_unended(session, account_id, except_id)
    for session_id in found:
        await end(session, session_id, now, reason)
    return len(found)


async def page(
    session: AsyncSession, account_id: str, current_id: str | None, now: datetime, request: PageRequest
) -> Page[SessionView]:
    """The person's sessions that are alive."""
    rows = await repository.live_sessions(
        session, account_id, now, after_id=request.after_id, limit=request.limit + 1
    )
    return request.page(rows, lambda row: _view(row, current_id), lambda row: row.id)


def _view(row: Session, current_id: str | None) -> SessionView:
    return SessionView(
        id=row.id,
        device=row.device or "an unknown program",
        network=row.network or "an unknown network",
        signed_in_at=row.created_at,
        last_used_at=row.last_used_at or row.created_at,
        expires_at=min(row.idle_expires_at, row.expires_at),
        current=row.id == current_id,
    )


async def _require_unchanged(session: AsyncSession, account_id: str, checked: str) -> None:
    """Locks the account. A password that was changed while the old one was being checked is the only one that opens
    a session: else the old one would outlive the end of all sessions."""
    account = await lock_account(session, account_id)
    if account is None or account.password_hash != checked:
        raise SignInFailed(next_action="Check both, or reset the password.")
