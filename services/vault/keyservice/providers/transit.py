"""The transit engine of HashiCorp Vault or OpenBao as a store of root keys.

Source: https://openbao.org/api-docs/secret/transit/. Ids of root keys are `transit:<mount>/<key>:<version>`; stored is
what follows `vault:v<version>:`, decoded. `rewrap` takes no associated data and is not used. The policy of the token:

    path "<mount>/encrypt/<key>" { capabilities = ["update"] }
    path "<mount>/decrypt/<key>" { capabilities = ["update"] }
    path "<mount>/keys/<key>"    { capabilities = ["read"] }
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.vault.errors import KeyRefused, KeyServiceUnavailable, RootKeyDisabled
from services.vault.keyservice.providers.answers import call, data_key, decoded, encoded, member, nonsense
from services.vault.ports import RootKeys, WrappedKey
from services.vault.secret_bytes import SecretBytes
from shared.http import AsyncClient, VendorRejected
from shared.observability.logging import get_logger

VENDOR = "transit"
WITH_ASSOCIATED_DATA = frozenset({"aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"})
REFUSED = frozenset({400, 404})
"""No, and not later either. Other refusals (412: this node is behind) say nothing about what was asked."""
_ID = re.compile(r"transit:([\w.-]+(?:/[\w.-]+)*)/([\w.-]+):(\d{1,9})", re.ASCII)
_CIPHERTEXT = re.compile(r"vault:v(\d{1,9}):([A-Za-z0-9+/=]+)")

logger = get_logger(__name__)


@dataclass(frozen=True)
class _Key:
    oldest: int
    """Versions below it are not opened any more."""
    latest: int


class Transit:
    """`token` is asked at each call and may raise KeyServiceDenied."""

    def __init__(
        self, client: AsyncClient, *, mount: str, key: str, token: Callable[[], SecretBytes]
    ) -> None:
        self._client = client
        self._mount = mount
        self._key = key
        self._token = token

    def holds(self, root_key_id: str) -> bool:
        return root_key_id.startswith("transit:")

    async def wrap(self, key: SecretBytes, context: bytes) -> WrappedKey:
        body = {"plaintext": encoded(key.reveal()), "associated_data": encoded(context)}
        try:
            answer = await self._call("POST", self._mount, "encrypt", self._key, json=body)
        except VendorRejected as refusal:
            logger.error("the root key does not wrap", vendor=VENDOR, status=refusal.status)
            raise RootKeyDisabled(VENDOR) from None
        sealed = _CIPHERTEXT.fullmatch(member(answer, "ciphertext", str, VENDOR))
        if sealed is None:
            raise nonsense(VENDOR, "another form of ciphertext")
        return WrappedKey(self._id(int(sealed[1])), decoded(sealed[2], VENDOR))

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> SecretBytes:
        named = _ID.fullmatch(wrapped.root_key_id)
        if named is None:
            raise KeyRefused("not a root key of transit's")
        mount, key, version = named[1], named[2], int(named[3])
        body = {
            "ciphertext": f"vault:v{version}:{encoded(wrapped.ciphertext)}",
            "associated_data": encoded(context),
        }
        try:
            answer = await self._call("POST", mount, "decrypt", key, json=body)
        except VendorRejected:
            if version < (await self._usable(mount, key)).oldest:
                logger.error(
                    "the root key's version is disabled", vendor=VENDOR, root_key=wrapped.root_key_id
                )
                raise RootKeyDisabled(VENDOR) from None
            raise KeyRefused("transit does not open it") from None
        return data_key(answer, VENDOR)

    async def root_keys(self) -> RootKeys:
        try:
            found = await self._usable(self._mount, self._key)
        except KeyRefused:
            logger.error("there is no such root key", vendor=VENDOR, root_key=f"{self._mount}/{self._key}")
            raise RootKeyDisabled(VENDOR) from None
        ids = tuple(self._id(number) for number in range(found.oldest, found.latest + 1))
        return RootKeys(ids[-1], ids)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _usable(self, mount: str, key: str) -> _Key:
        """Raises KeyRefused when there is no such key, RootKeyDisabled when it is not to be used."""
        try:
            answer = await self._call("GET", mount, "keys", key)
        except VendorRejected:
            raise KeyRefused("transit has no such key") from None
        found = _Key(
            max(1, member(answer, "min_decryption_version", int, VENDOR)),
            member(answer, "latest_version", int, VENDOR),
        )
        if not found.oldest <= found.latest < found.oldest + 10_000:
            raise nonsense(VENDOR, "versions")
        fits = answer.get("type") in WITH_ASSOCIATED_DATA and answer.get("derived") is False
        if answer.get("soft_deleted") is True or not fits:
            logger.error("the root key is deleted, or takes no associated data", vendor=VENDOR, root_key=key)
            raise RootKeyDisabled(VENDOR)
        return found

    async def _call(self, method: str, mount: str, action: str, key: str, **options: Any) -> dict[str, Any]:
        """The `data` of the answer."""
        headers = {"X-Vault-Token": self._token().reveal().decode(), "X-Vault-Request": "true"}
        path = f"/v1/{mount}/{action}/{key}"
        try:
            answer = await call(self._client, method, path, vendor=VENDOR, headers=headers, **options)
        except VendorRejected as refusal:
            if refusal.status in REFUSED:
                raise
            logger.warning("the KMS does not answer", vendor=VENDOR, status=refusal.status)
            raise KeyServiceUnavailable(VENDOR) from None
        found: dict[str, Any] = member(answer, "data", dict, VENDOR)
        return found

    def _id(self, version: int) -> str:
        return f"transit:{self._mount}/{self._key}:{version}"
