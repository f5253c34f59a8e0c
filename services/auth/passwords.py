"""Password hashing: argon2id, off the event loop, a bounded number at a time. The only importer of passlib."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from passlib.context import CryptContext
from pydantic import SecretStr

from services.auth.errors import PasswordCheckBusy
from shared.passwords import MAX_LENGTH

T = TypeVar("T")
_CONTEXT = CryptContext(
    schemes=["argon2"],
    deprecated="auto",
    argon2__type="ID",
    argon2__memory_cost=19456,  # KiB; OWASP's first choice: m=19 MiB, t=2, p=1
    argon2__time_cost=2,
    argon2__parallelism=1,
)


class Verdict(NamedTuple):
    """Whether the password matched, and a new hash when the stored one has outdated parameters."""

    matched: bool
    rehashed: str | None


class PasswordHasher:
    """Hashes and verifies in `threads` threads; beyond `queue` waiting callers it answers 503.

    The hash of an unknown account is checked against a decoy, so that it takes the same time as a known one.
    """

    def __init__(self, *, threads: int = 2, queue: int = 50) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._limit = threads + queue
        self._pending = 0

    async def hash(self, password: SecretStr) -> str:
        clear = _usable(password)
        return await self._run(lambda: str(_CONTEXT.hash(clear)))

    async def verify(self, password: SecretStr, stored: str | None) -> Verdict:
        """`stored` None (no such account) burns the same time and never matches."""
        clear = _usable(password)
        return await self._run(lambda: _verify(clear, stored))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._limit:
            raise PasswordCheckBusy(
                "Too many sign-ins are being checked. Try again in a moment.", retry_after=2
            )
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._pending -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _verify(password: str, stored: str | None) -> Verdict:
    if stored is None:
        _CONTEXT.dummy_verify()
        return Verdict(False, None)
    matched, rehashed = _CONTEXT.verify_and_update(password, stored)
    return Verdict(bool(matched), rehashed)


def _usable(password: SecretStr) -> str:
    """Lone surrogates cannot be encoded and over-long input is never a real password: both just fail to match."""
    clear = password.get_secret_value()
    if len(clear) > MAX_LENGTH:
        return ""
    return clear.encode("utf-8", "replace").decode()
