"""Keys of the engine with all their versions, and what they do: AES-256-GCM with associated data.

A ciphertext is `vault:v<version>:` and base64 of `nonce 12 | ciphertext | tag 16`. Messages are those of
sdk/helper/keysutil/policy.go and builtin/logical/transit of OpenBao.
"""

from __future__ import annotations

import base64
import os
import time
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sandbox.store import Document, Store
from sandbox.transit.errors import VaultError, invalid

PREFIX = "vault:v"
TYPES = ("aes256-gcm96",)
_NONCE = 12


class Books:
    """Keys by namespace and name in one store."""

    def __init__(self, store: Store, namespaces: tuple[str, ...] = ("",)) -> None:
        self._store = store
        self._namespaces = namespaces

    def names(self, namespace: str) -> list[str]:
        return [each["name"] for each in self._store.list("key") if each["namespace"] == namespace]

    def find(self, namespace: str, name: str) -> Document | None:
        """A copy. Raises VaultError 404 for a namespace that does not exist."""
        if namespace not in self._namespaces:
            raise VaultError(404, f"no handler for route in namespace {namespace!r}")
        return self._store.get("key", f"{namespace}/{name}")

    def usable(self, namespace: str, name: str) -> Document:
        """Raises VaultError 400, as each use of a key does that is not there or soft-deleted."""
        key = self.find(namespace, name)
        if key is None:
            raise invalid("encryption key not found")
        if key["soft_deleted"]:
            raise invalid("policy has been soft deleted")
        return key

    def create(self, namespace: str, name: str, kind: str) -> Document:
        """The key that is there already, otherwise."""
        if kind not in TYPES:
            raise invalid(f"unknown key type {kind}")
        present = self.find(namespace, name)
        if present is not None:
            return present
        made = {
            "namespace": namespace,
            "name": name,
            "type": kind,
            "material": {"1": {"key": os.urandom(32).hex(), "at": int(time.time())}},
            "latest_version": 1,
            "min_decryption_version": 1,
            "min_encryption_version": 0,
            "deletion_allowed": False,
            "soft_deleted": False,
        }
        self.save(made)
        return made

    def save(self, key: Document) -> None:
        self._store.put("key", f"{key['namespace']}/{key['name']}", key)

    def rotate(self, key: Document) -> None:
        key["latest_version"] += 1
        key["material"][str(key["latest_version"])] = {"key": os.urandom(32).hex(), "at": int(time.time())}
        self.save(key)

    def configure(self, key: Document, given: dict[str, Any]) -> None:
        """`min_decryption_version`, `min_encryption_version`, `deletion_allowed`."""
        for field in ("min_decryption_version", "min_encryption_version"):
            if field not in given:
                continue
            version = given[field]
            if not isinstance(version, int) or version < 0:
                raise invalid(f"{field.replace('_', ' ')} cannot be negative")
            if version > key["latest_version"]:
                raise invalid(
                    f"cannot set {field.replace('_', ' ')} of {version}, latest key version is {key['latest_version']}"
                )
            key[field] = max(version, 1) if field == "min_decryption_version" else version
        if "deletion_allowed" in given:
            key["deletion_allowed"] = bool(given["deletion_allowed"])
        self.save(key)

    def delete(self, key: Document) -> None:
        if not key["deletion_allowed"]:
            raise invalid(f"error deleting policy {key['name']}: deletion is not allowed for this key")
        self._store.delete("key", f"{key['namespace']}/{key['name']}")

    def view(self) -> list[dict[str, Any]]:
        """The books for the control API."""
        return [described(each) | {"namespace": each["namespace"]} for each in self._store.list("key")]


def described(key: Document) -> dict[str, Any]:
    """A key as it may be read: without its material."""
    shown = {name: value for name, value in key.items() if name not in ("material", "namespace")}
    readable = {
        version: each["at"]
        for version, each in key["material"].items()
        if int(version) >= key["min_decryption_version"]
    }
    return shown | {
        "keys": readable,
        "derived": False,
        "exportable": False,
        "allow_plaintext_backup": False,
        "imported_key": False,
        "auto_rotate_period": 0,
        "min_available_version": 0,
        "supports_encryption": True,
        "supports_decryption": True,
        "supports_derivation": True,
        "supports_signing": False,
    }


def seal(key: Document, plaintext: bytes, associated: bytes, version: int) -> tuple[str, int]:
    """(ciphertext, version that sealed it); version 0 is the latest."""
    version = version or key["latest_version"]
    if version > key["latest_version"]:
        raise invalid("requested version for encryption is higher than the latest key version")
    if version < key["min_encryption_version"]:
        raise invalid("requested version for encryption is less than the minimum encryption key version")
    nonce = os.urandom(_NONCE)
    sealed = nonce + _cipher(key, version).encrypt(nonce, plaintext, associated)
    return f"{PREFIX}{version}:{base64.b64encode(sealed).decode()}", version


def open_sealed(key: Document, ciphertext: str, associated: bytes) -> bytes:
    if not ciphertext.startswith(PREFIX):
        raise invalid("invalid ciphertext: no prefix")
    number, separator, text = ciphertext.removeprefix(PREFIX).partition(":")
    if not separator:
        raise invalid("invalid ciphertext: wrong number of fields")
    if not (number.isascii() and number.isdigit()):
        raise invalid("invalid ciphertext: version number could not be decoded")
    version = int(number) or 1
    if version > key["latest_version"]:
        raise invalid("invalid ciphertext: version is too new")
    if version < key["min_decryption_version"]:
        raise invalid("ciphertext or signature version is disallowed by policy (too old)")
    try:
        sealed = base64.b64decode(text, validate=True)
    except ValueError:
        raise invalid("invalid ciphertext: could not decode base64") from None
    if len(sealed) < _NONCE:
        raise invalid("invalid ciphertext length")
    try:
        return _cipher(key, version).decrypt(sealed[:_NONCE], sealed[_NONCE:], associated)
    except InvalidTag:
        raise invalid("cipher: message authentication failed") from None


def _cipher(key: Document, version: int) -> AESGCM:
    return AESGCM(bytes.fromhex(key["material"][str(version)]["key"]))
