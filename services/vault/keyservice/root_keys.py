"""Root keys of a keyring file, and of several stores together."""

from __future__ import annotations

from collections.abc import Sequence

from services.vault.aead import NotAuthentic
from services.vault.errors import KeyRefused
from services.vault.keyservice.keyring import Keyring
from services.vault.ports import RootKeys, RootKeyStore, WrappedKey
from services.vault.secret_bytes import SecretBytes


class KeyringStore:
    """The keyring in this process's memory."""

    def __init__(self, ring: Keyring) -> None:
        self._ring = ring

    def use(self, ring: Keyring) -> None:
        """Goes on with other root keys, from the next operation on."""
        self._ring = ring

    def holds(self, root_key_id: str) -> bool:
        return root_key_id.startswith("rk_")

    async def wrap(self, key: SecretBytes, context: bytes) -> WrappedKey:
        return WrappedKey(*self._ring.wrap(key.reveal(), context))

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> SecretBytes:
        try:
            return SecretBytes(self._ring.unwrap(wrapped.root_key_id, wrapped.ciphertext, context))
        except NotAuthentic as refused:
            raise KeyRefused(str(refused)) from None

    async def root_keys(self) -> RootKeys:
        return RootKeys(self._ring.primary, self._ring.ids())

    async def aclose(self) -> None:
        """There is nothing to close."""


class Stores:
    """The first one wraps; all of them open what they wrapped. So data keys move from one store to another online."""

    def __init__(self, stores: Sequence[RootKeyStore]) -> None:
        self._stores = stores

    def holds(self, root_key_id: str) -> bool:
        return any(store.holds(root_key_id) for store in self._stores)

    async def wrap(self, key: SecretBytes, context: bytes) -> WrappedKey:
        return await self._stores[0].wrap(key, context)

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> SecretBytes:
        for store in self._stores:
            if store.holds(wrapped.root_key_id):
                return await store.unwrap(wrapped, context)
        raise KeyRefused("no store that is configured holds this root key")

    async def root_keys(self) -> RootKeys:
        """Those of the store that wraps: the others being away is no reason not to work."""
        return await self._stores[0].root_keys()

    async def aclose(self) -> None:
        for store in self._stores:
            await store.aclose()
