"""Replace a signing key while everything runs: publish the new one, wait until it is known, sign with it, retire the
old one. `infra/local/rotate.py` is the command; `docs/runbooks/rotate-keys.md` says how it goes elsewhere.

Each step may be repeated, so a rotation that was interrupted is simply begun again.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.local.accounts import Account
from infra.local.pki import private_key, public_pem, replace
from shared.identity import key_id, public_pem_of

KNOWN_SECONDS = 120.0
_PUBLIC = re.compile(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----\s*", re.DOTALL)
Known = Callable[[str], Awaitable[bool]]


class NotKnown(RuntimeError):
    """Somebody who verifies does not know the new key yet; the old one still signs, nothing is broken."""


class Rotation(Protocol):
    """One signing key and the places where it lies. `lifetime` is how long what it signed is believed, in seconds."""

    @property
    def lifetime(self) -> float: ...

    def publish(self) -> str: ...

    def switch(self) -> None: ...

    def retire(self, older_than: float) -> list[str]: ...


async def rotate(rotation: Rotation, known: Known) -> str:
    """The name of the key that signs from now on. Raises NotKnown, and then nothing has changed."""
    rotation.retire(rotation.lifetime)
    kid = rotation.publish()
    deadline = time.monotonic() + KNOWN_SECONDS
    while not await known(kid):
        if time.monotonic() > deadline:
            raise NotKnown(
                f"{kid} was not known everywhere within {KNOWN_SECONDS:.0f} s; the old key still signs"
            )
        await asyncio.sleep(0.2)
    rotation.switch()
    return kid


@dataclass(frozen=True)
class OwnKey:
    """The operator's copy of a private key; the next one lies beside it until it signs. `installed` is where
    processes that sign read it, as `account`."""

    file: Path
    installed: tuple[Path, ...]
    account: Account | None = None

    @property
    def next_file(self) -> Path:
        return self.file.with_name(f"{self.file.name}.next")

    def public(self) -> bytes:
        return public_pem_of(self.file.read_bytes())

    def next_public(self) -> bytes:
        """Of the next key, which is made when there is none."""
        return public_pem(private_key(self.next_file))

    def switch(self) -> None:
        for file in self.installed:
            replace(file, self.next_file.read_bytes(), 0o400, self.account)
        self.next_file.rename(self.file)


@dataclass(frozen=True)
class AccessKey:
    """The key of access tokens. `published` is the folder of public keys that auth puts into its JWKS."""

    own: OwnKey
    published: Path
    lifetime: float = 900.0
    """Access tokens live 600 s."""

    def publish(self) -> str:
        self.published.mkdir(exist_ok=True)
        self._put(self.own.public())
        return self._put(self.own.next_public())

    def switch(self) -> None:
        old = self._file(self.own.public())
        self.own.switch()
        os.utime(old)  # from now on it signs nothing: its time to retire counts from here

    def retire(self, older_than: float) -> list[str]:
        """Takes away former keys that have not signed for so long. Returns their names."""
        kept = {self._file(self.own.public())}
        if self.own.next_file.exists():
            kept.add(self._file(self.own.next_public()))
        gone = []
        for file in self.published.glob("*.pem"):
            if file not in kept and time.time() - file.stat().st_mtime >= older_than:
                file.unlink()
                gone.append(file.stem)
        return gone

    def _file(self, public: bytes) -> Path:
        return self.published / f"{key_id('auth', public)}.pem"

    def _put(self, public: bytes) -> str:
        replace(self._file(public), public, 0o444)
        return self._file(public).stem


@dataclass(frozen=True)
class IdentityKey:
    """The key with which `issuer` signs internal tokens. `trust` is the file of his public keys, the first of which
    signs."""

    issuer: str
    own: OwnKey
    trust: Path
    lifetime: float = 120.0
    """Internal tokens live 60 s, and the gateway uses one again for 30 s."""

    def publish(self) -> str:
        new = self.own.next_public()
        self._trust(self.own.public(), *self._others(), new)
        return key_id(self.issuer, new)

    def switch(self) -> None:
        old = self.own.public()
        self.own.switch()
        self._trust(self.own.public(), old, *self._others())

    def retire(self, older_than: float) -> list[str]:
        if self.own.next_file.exists() or time.time() - self.trust.stat().st_mtime < older_than:
            return []
        gone = [key_id(self.issuer, pem) for pem in self._others()]
        if gone:
            self._trust(self.own.public())
        return gone

    def _others(self) -> list[bytes]:
        """Public keys that are trusted beside the present and the next one."""
        known = {self.own.public().strip()}
        if self.own.next_file.exists():
            known.add(self.own.next_public().strip())
        return [pem for pem in _PUBLIC.findall(self.trust.read_bytes()) if pem.strip() not in known]

    def _trust(self, *keys: bytes) -> None:
        replace(self.trust, b"".join(dict.fromkeys(keys)), 0o444)
