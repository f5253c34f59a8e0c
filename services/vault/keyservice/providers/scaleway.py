"""Scaleway Key Manager as a store of root keys.

Source: https://www.scaleway.com/en/developers/api/key-manager/ (v1alpha1). Ids of root keys are
`scaleway:<key>:<rotation>`. `generate-data-key` takes no associated data, so data keys are made by us and sealed by
`encrypt`, which does. What it answers for a disabled key or for other associated data is not documented: after a
refusal the key itself is asked for its state.
"""

from __future__ import annotations

import re

from services.vault.errors import KeyRefused, RootKeyDisabled
from services.vault.keyservice.providers.answers import call, data_key, decoded, encoded, member, nonsense
from services.vault.ports import RootKeys, WrappedKey
from services.vault.secret_bytes import SecretBytes
from shared.http import AsyncClient, VendorRejected
from shared.observability.logging import get_logger

VENDOR = "scaleway"
_ID = re.compile(r"scaleway:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}):(\d{1,9})")

logger = get_logger(__name__)


class ScalewayKeyManager:
    """`client` carries the secret key in X-Auth-Token. Other keys of the region open what they wrapped, too."""

    def __init__(self, client: AsyncClient, *, region: str, key_id: str) -> None:
        self._client = client
        self._region = region
        self._key_id = key_id

    def holds(self, root_key_id: str) -> bool:
        return root_key_id.startswith("scaleway:")

    async def wrap(self, key: SecretBytes, context: bytes) -> WrappedKey:
        """The rotation is read first: rotated in between, the key looks older than it is and is rewrapped once more."""
        root_key_id = (await self.root_keys()).primary
        body = {"plaintext": encoded(key.reveal()), "associated_data": encoded(context)}
        try:
            answer = await call(
                self._client, "POST", self._path(self._key_id, "/encrypt"), vendor=VENDOR, json=body
            )
        except VendorRejected as refusal:
            logger.error("the root key does not wrap", vendor=VENDOR, status=refusal.status)
            raise RootKeyDisabled(VENDOR) from None
        self._is_of(answer, self._key_id)
        return WrappedKey(root_key_id, decoded(member(answer, "ciphertext", str, VENDOR), VENDOR))

    async def unwrap(self, wrapped: WrappedKey, context: bytes) -> SecretBytes:
        """The answer's `ciphertext` (sealed again after a rotation) is not used: rewrapping proves what it writes."""
        named = _ID.fullmatch(wrapped.root_key_id)
        if named is None:
            raise KeyRefused("not a root key of Scaleway's")
        body = {"ciphertext": encoded(wrapped.ciphertext), "associated_data": encoded(context)}
        try:
            answer = await call(
                self._client, "POST", self._path(named[1], "/decrypt"), vendor=VENDOR, json=body
            )
        except VendorRejected:
            await self._usable(named[1])
            raise KeyRefused("Scaleway Key Manager does not open it") from None
        self._is_of(answer, named[1])
        return data_key(answer, VENDOR)

    async def root_keys(self) -> RootKeys:
        try:
            rotation = await self._usable(self._key_id)
        except KeyRefused:
            logger.error("there is no such root key", vendor=VENDOR, root_key=self._key_id)
            raise RootKeyDisabled(VENDOR) from None
        ids = tuple(f"scaleway:{self._key_id}:{number}" for number in range(rotation + 1))
        return RootKeys(ids[-1], ids)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _usable(self, key_id: str) -> int:
        """How often the key was rotated. Raises KeyRefused when there is none, RootKeyDisabled when it is disabled."""
        try:
            answer = await call(self._client, "GET", self._path(key_id), vendor=VENDOR)
        except VendorRejected:
            raise KeyRefused("Scaleway Key Manager has no such key") from None
        state = member(answer, "state", str, VENDOR)
        rotation = member(answer, "rotation_count", int, VENDOR)
        if not 0 <= rotation < 10_000:
            raise nonsense(VENDOR, "rotation_count")
        if state != "enabled":
            logger.error("the root key is not enabled", vendor=VENDOR, root_key=key_id, state=state[:40])
            raise RootKeyDisabled(VENDOR)
        return rotation

    def _is_of(self, answer: dict[str, object], key_id: str) -> None:
        if member(answer, "key_id", str, VENDOR) != key_id:
            raise nonsense(VENDOR, "an answer about another key")

    def _path(self, key_id: str, action: str = "") -> str:
        return f"/key-manager/v1alpha1/regions/{self._region}/keys/{key_id}{action}"
