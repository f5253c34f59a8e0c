"""What the vault needs from outside itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from services.vault import associated_data
from services.vault.secret_bytes import SecretBytes


@dataclass(frozen=True)
class KeyContext:
    """Which data key a wrapped key is. A key service gives it back only for the same context."""

    environment: str
    scope: str
    version: int

    def encode(self) -> bytes:
        return associated_data.encode("sc.vault.data-key.v1", self.environment, self.scope, self.version)


@dataclass(frozen=True)
class WrappedKey:
    """A data key under a root key that never leaves the key service."""

    root_key_id: str
    ciphertext: bytes


class KeyService(Protocol):
    """Holds root keys. Each method raises KeyServiceUnavailable (errors.py) when it cannot be asked."""

    async def wrap(self, key: SecretBytes, context: KeyContext) -> WrappedKey:
        """Seals a data key under the primary root key."""

    async def unwrap(self, wrapped: WrappedKey, context: KeyContext) -> SecretBytes:
        """Opens it again. Raises KeyRefused when it was not wrapped for this context."""

    async def check(self) -> None:
        """Returns when the key service answers and holds a primary root key."""
