"""Data keys in memory, for five minutes at most."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta

from services.vault.secret_bytes import SecretBytes
from shared.clock import Clock

LONGEST = timedelta(minutes=5)
MOST_KEYS = 1000

Name = tuple[str, int, bytes]


class DataKeyCache:
    """Keys by scope, version and check value. Age counts from the unwrapping, not from the last use.

    The check value is part of the name because a version whose transaction was rolled back may be made again, with
    another key.
    """

    def __init__(self, clock: Clock, *, lifetime: timedelta = LONGEST, capacity: int = MOST_KEYS) -> None:
        if lifetime > LONGEST:
            raise ValueError("a data key stays in memory five minutes at most")
        self._clock = clock
        self._lifetime = lifetime
        self._capacity = capacity
        self._entries: OrderedDict[Name, tuple[SecretBytes, datetime]] = OrderedDict()

    def get(self, scope: str, version: int, check_value: bytes) -> SecretBytes | None:
        """A copy of the key, or None. A copy, because the cache wipes its own at any moment."""
        self.sweep()
        entry = self._entries.get((scope, version, check_value))
        return None if entry is None else SecretBytes(entry[0].reveal())

    def put(self, scope: str, version: int, check_value: bytes, key: SecretBytes) -> None:
        self._drop((scope, version, check_value))
        self._entries[scope, version, check_value] = (SecretBytes(key.reveal()), self._clock.now())
        while len(self._entries) > self._capacity:
            self._drop(next(iter(self._entries)))

    def purge(self, scope: str) -> int:
        """Wipes every version of the scope's key; how many there were."""
        names = [name for name in self._entries if name[0] == scope]
        for name in names:
            self._drop(name)
        return len(names)

    def sweep(self) -> None:
        """Wipes what is too old. Entries are in the order of their unwrapping."""
        oldest_allowed = self._clock.now() - self._lifetime
        while self._entries:
            name, (_, since) = next(iter(self._entries.items()))
            if since > oldest_allowed:
                return
            self._drop(name)

    def scopes(self) -> frozenset[str]:
        return frozenset(scope for scope, _, _ in self._entries)

    def _drop(self, name: Name) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            entry[0].wipe()
