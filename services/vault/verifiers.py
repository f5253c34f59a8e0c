"""Password verifiers: the only form of a mailbox password that leaves for a host."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher, Type
from argon2.exceptions import VerifyMismatchError

from services.vault.secret_bytes import SecretBytes

SCHEME = "ARGON2ID"

# OWASP's first choice for argon2id, and what Dovecot's workers hold in memory per login: 19 MiB, 2 passes.
_HASHER = PasswordHasher(
    time_cost=2, memory_cost=19456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)


async def make(password: SecretBytes) -> str:
    """The PHC string `$argon2id$v=19$m=19456,t=2,p=1$…`, made in a thread: it takes tens of milliseconds."""
    return await asyncio.to_thread(lambda: _HASHER.hash(password.reveal()))


async def matches(verifier: str, password: SecretBytes) -> bool:
    """Whether it is the verifier of this password; nothing is decrypted for the answer."""

    def verify() -> bool:
        try:
            return _HASHER.verify(verifier, password.reveal())
        except VerifyMismatchError:
            return False

    return await asyncio.to_thread(verify)
