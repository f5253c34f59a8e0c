"""Root keys in one file that only its owner can read.

    {"format": 1, "primary": "rk_…", "keys": [{"id": "rk_…", "created_at": "…", "key": "<base64, 32 bytes>"}]}

New data keys are wrapped by the primary; the others still open what they wrapped.
A wrapped key is `0x01 | nonce 12 | ciphertext 32 | tag 16` with the caller's context as associated data.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from services.vault.aead import KEY_BYTES, NONCE_BYTES, NotAuthentic, open_sealed, seal
from services.vault.secret_bytes import SecretBytes
from shared.ids import new_id

FILE_FORMAT = 1
WRAP_FORMAT = b"\x01"


class KeyringUnsafe(Exception):
    """The file is missing, readable by others, not a plain file, or not what it should hold. Says which."""


@dataclass(frozen=True)
class RootKey:
    id: str
    created_at: str
    key: SecretBytes


class Keyring:
    """Root keys in memory."""

    def __init__(self, keys: tuple[RootKey, ...], primary: str) -> None:
        self._keys = {key.id: key for key in keys}
        if primary not in self._keys or len(self._keys) != len(keys):
            raise KeyringUnsafe("the primary key is not in the keyring, or an id occurs twice")
        self.primary = primary

    def ids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    def root_keys(self) -> tuple[RootKey, ...]:
        return tuple(self._keys.values())

    def wrap(self, plaintext: bytes, context: bytes) -> tuple[str, bytes]:
        """(root key id, wrapped key). Only keys of 32 bytes are wrapped: this is no general-purpose cipher."""
        if len(plaintext) != KEY_BYTES:
            raise ValueError("a data key is 32 bytes")
        nonce = os.urandom(NONCE_BYTES)
        root = self._keys[self.primary].key.reveal()
        return self.primary, WRAP_FORMAT + nonce + seal(root, nonce, plaintext, context)

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """The data key. Raises NotAuthentic for an unknown root key, a wrong context or a changed byte."""
        root = self._keys.get(key_id)
        if root is None:
            raise NotAuthentic("no such root key")
        if wrapped[:1] != WRAP_FORMAT:
            raise NotAuthentic("not a known format")
        nonce, sealed = wrapped[1 : 1 + NONCE_BYTES], wrapped[1 + NONCE_BYTES :]
        if len(nonce) != NONCE_BYTES:
            raise NotAuthentic("too short")
        return open_sealed(root.key.reveal(), nonce, sealed, context)

    def with_new_primary(self, now: datetime) -> Keyring:
        """A keyring with one more key, which wraps from now on."""
        key = new_root_key(now)
        return Keyring((*self.root_keys(), key), key.id)

    def without(self, key_id: str) -> Keyring:
        """A keyring that no longer opens what this key wrapped. Raises KeyringUnsafe for the primary and a stranger."""
        if key_id == self.primary:
            raise KeyringUnsafe(f"{key_id} is the primary; add another root key first")
        if key_id not in self._keys:
            raise KeyringUnsafe(f"there is no root key {key_id}")
        return Keyring(tuple(key for key in self.root_keys() if key.id != key_id), self.primary)


def new_root_key(now: datetime) -> RootKey:
    return RootKey(new_id("rk"), now.isoformat(), SecretBytes(os.urandom(KEY_BYTES)))


def load(path: Path) -> Keyring:
    """Reads the file, refusing one that anybody but this process's own uid can read (checked on the open file)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyringUnsafe(f"{path}: {error.strerror}") from None
    try:
        _check(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            return parse(file.read())
    finally:
        os.close(descriptor)


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyringUnsafe(f"{path} is not a plain file")
    if status.st_uid != os.geteuid():
        raise KeyringUnsafe(f"{path} belongs to uid {status.st_uid}, this process is uid {os.geteuid()}")
    if status.st_mode & 0o077:
        raise KeyringUnsafe(
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}; others could read it. chmod 0600 it, "
            "and replace the root keys if somebody did read them"
        )


def parse(content: bytes) -> Keyring:
    """Raises KeyringUnsafe without quoting anything of the content."""
    try:
        document: dict[str, Any] = json.loads(content)
        if document["format"] != FILE_FORMAT:
            raise KeyringUnsafe("the keyring has another format")
        keys = tuple(
            RootKey(
                entry["id"], entry["created_at"], SecretBytes(base64.b64decode(entry["key"], validate=True))
            )
            for entry in document["keys"]
        )
        primary = str(document["primary"])
    except (ValueError, KeyError, TypeError):
        raise KeyringUnsafe("the keyring is not what `init` writes") from None
    if any(len(key.key) != KEY_BYTES for key in keys):
        raise KeyringUnsafe("a root key is not 32 bytes")
    return Keyring(keys, primary)


def create(path: Path, keyring: Keyring, *, owner: int | None = None) -> None:
    """Writes a new file; never over an existing one."""
    _write(path, keyring, owner)


def replace(path: Path, keyring: Keyring) -> None:
    """Writes beside the file and renames, so that a crash leaves the old or the new one. Keeps the owner."""
    owner = path.stat().st_uid
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    _write(beside, keyring, owner)
    beside.rename(path)


def _write(path: Path, keyring: Keyring, owner: int | None) -> None:
    document = {
        "format": FILE_FORMAT,
        "primary": keyring.primary,
        "keys": [
            {"id": key.id, "created_at": key.created_at, "key": base64.b64encode(key.key.reveal()).decode()}
            for key in keyring.root_keys()
        ],
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        if owner is not None:
            os.fchown(file.fileno(), owner, -1)
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
