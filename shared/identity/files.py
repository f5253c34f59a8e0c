"""What is read from files that an operator replaces while processes run: keys, above all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from shared.clock import Clock
from shared.identity.tokens import TokenSigner, key_id, public_pem_of
from shared.observability.logging import get_logger

LOOK_SECONDS: Final = 1.0
T = TypeVar("T")
_log = get_logger("files")


class FromFiles(Generic[T]):
    """A value read from files, and read again when one of them has changed, looked at once a second at most.

    The first reading fails when it fails. Later ones keep the former value and say so in the log: a file may be
    seen half-way through its replacement. Replace files by rename, then that does not happen either.
    """

    def __init__(
        self,
        files: Callable[[], Iterable[Path]],
        read: Callable[[], T],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._read = read
        self._monotonic = monotonic
        self._seen = self._marks()
        self._looked_at = monotonic()
        self._value = read()

    def get(self) -> T:
        now = self._monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._value

    def _look(self) -> None:
        marks = self._marks()
        if marks == self._seen:
            return
        try:
            self._value = self._read()
        except (OSError, ValueError) as error:
            _log.error("unreadable, the former content still counts", kind=type(error).__name__)
        else:
            self._seen = marks

    def _marks(self) -> tuple[tuple[str, int, int, int], ...]:
        """What differs when a file was written or replaced, also behind a symbolic link (Kubernetes secrets)."""
        found = []
        for path in self._files():
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((str(path), status.st_ino, status.st_mtime_ns, status.st_size))
        return tuple(found)


class FileSigner:
    """A TokenSigner whose private key (PEM) lies in a file that may be replaced while the process runs.

    `name` is what the `kid` begins with, where that is not the issuer.
    """

    def __init__(
        self,
        file: Path,
        issuer: str,
        *,
        name: str | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        def read() -> tuple[TokenSigner, bytes]:
            private = file.read_bytes()
            public = public_pem_of(private)
            return TokenSigner(private, key_id(name or issuer, public), issuer, clock=clock), public

        self.issuer = issuer
        self._current = FromFiles(lambda: (file,), read, monotonic)

    @property
    def kid(self) -> str:
        return self._current.get()[0].kid

    @property
    def public_pem(self) -> bytes:
        return self._current.get()[1]

    def sign(self, claims: Mapping[str, Any], *, typ: str, ttl: int) -> str:
        """As TokenSigner.sign, with the key that the file holds now."""
        return self._current.get()[0].sign(claims, typ=typ, ttl=ttl)
