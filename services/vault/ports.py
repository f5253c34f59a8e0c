"""What the vault needs from outside itself."""

from __future__ import annotations

from collections.abc import Sequence
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
    """Holds root keys. Each method raises KeyServiceUnavailable (errors.py) when it cannot be asked, and its kinds
    KeyServiceDenied and RootKeyDisabled when it will not answer anybody's question before a person has looked."""

    async def wrap(self, key: SecretBytes, context: KeyContext) -> WrappedKey:
        """Seals a data key under the primary root key."""

    async def unwrap(self, wrapped: WrappedKey, context: KeyContext) -> SecretBytes:
        """Opens it again. Raises KeyRefused when it was not wrapped for this context."""

    async def check(self) -> None:
        """Returns when the key service answers and holds a primary root key."""


@dataclass(frozen=True)
class RootKeys:
    """Ids of the root keys that a key service holds; `primary` is the one that wraps."""

    primary: str
    ids: tuple[str, ...]


class RootKeyStore(Protocol):
    """Where root keys lie: a keyring file, or a KMS. The key service's process alone has one, and its credential.

    A root key's id says which store it is of and, for a KMS, which version: what was wrapped before a rotation has
    another id than `root_keys().primary`. Raises as `KeyService` does.
    """

    def holds(self, root_key_id: str) -> bool:
        """Whether the id is one of this store's, by its form."""

    async def wrap(self, key: SecretBytes, context: bytes) -> WrappedKey:
        """Seals a data key under the primary, with the context as associated data."""

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> SecretBytes:
        """Opens it again, whatever version wrapped it. Raises KeyRefused."""

    async def root_keys(self) -> RootKeys:
        """Asks the store itself, so that an answer means that it can be reached and used."""

    async def aclose(self) -> None:
        """Ends connections."""


@dataclass(frozen=True)
class SecretWrap:
    """A secret's key under a data key (envelope.wrap_of), and the associated data of the secret."""

    secret_data: bytes
    wrap: bytes


class RotatingKeyService(Protocol):
    """What a rotation asks of a key service. No key leaves it by any of this, so who may rotate can open nothing.

    Each method raises KeyServiceUnavailable when it cannot be asked, KeyRefused when a data key does not open.
    """

    async def root_keys(self) -> RootKeys:
        """Which there are."""

    async def make(self, context: KeyContext) -> tuple[WrappedKey, bytes]:
        """A new data key under the primary root key, and its check value."""

    async def rewrap(self, wrapped: WrappedKey, context: KeyContext) -> WrappedKey:
        """The same data key under the primary root key, proven to open there."""

    async def rewrap_secrets(
        self,
        old: tuple[WrappedKey, KeyContext],
        new: tuple[WrappedKey, KeyContext],
        wraps: Sequence[SecretWrap],
    ) -> list[bytes | None]:
        """Each wrap under the new data key of the same scope, in order; None for one that does not open."""
