"""The addresses that the cloud has to give: the one released last comes back first, as in the real pool."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Network

from sandbox.net import AddressRange
from sandbox.store import Store

KIND = "pool"
NEXT_SHOWN = 8
LAST_PREFIX = 0x3FF


class PoolExhausted(RuntimeError):
    """No address of this kind is left."""


class AddressPool:
    """IPv4 addresses and IPv6 prefixes of the sandbox's range. `offer` decides what comes next."""

    def __init__(self, store: Store, addresses: AddressRange) -> None:
        self._store = store
        self._range = addresses

    def take_v4(self, in_use: set[str]) -> IPv4Address:
        """Raises PoolExhausted."""
        for text in self._order(in_use):
            self._forget(text)
            return IPv4Address(text)
        raise PoolExhausted("no IPv4 address is left")

    def take_v6(self, in_use: set[str]) -> IPv6Network:
        """Raises PoolExhausted."""
        released = [text for text in self._list("released_v6") if text not in in_use]
        if released:
            self._save("released_v6", [each for each in self._list("released_v6") if each != released[-1]])
            return IPv6Network(released[-1])
        for number in range(1, LAST_PREFIX):
            prefix = self._range.vps_v6_prefix(number)
            if str(prefix) not in in_use:
                return prefix
        raise PoolExhausted("no IPv6 prefix is left")

    def release(self, text: str) -> None:
        """Give an address (or prefix) back."""
        kind = "released_v6" if ":" in text else "released"
        self._save(kind, [*(each for each in self._list(kind) if each != text), text])

    def offer(self, addresses: Sequence[str], in_use: set[str]) -> None:
        """Hand out these IPv4 addresses next, in this order. Raises ValueError for one that cannot be given."""
        possible = {str(each) for each in self._range.vps_v4()}
        for text in addresses:
            if text not in possible:
                raise ValueError(f"{text} is not one of this cloud's addresses ({self._range.v4})")
            if text in in_use:
                raise ValueError(f"{text} is reserved already")
        self._save("offered", list(dict.fromkeys(addresses)))

    def view(self, in_use: set[str]) -> dict[str, list[str]]:
        """`next`: what comes next, first first; `offered`: what was asked for by `offer`; `in_use`."""
        return {
            "next": self._order(in_use)[:NEXT_SHOWN],
            "offered": self._list("offered"),
            "in_use": sorted(in_use),
        }

    def _order(self, in_use: set[str]) -> list[str]:
        every = [str(each) for each in self._range.vps_v4()]
        wanted = [*self._list("offered"), *reversed(self._list("released")), *every]
        return [text for text in dict.fromkeys(wanted) if text not in in_use]

    def _forget(self, text: str) -> None:
        for kind in ("offered", "released"):
            self._save(kind, [each for each in self._list(kind) if each != text])

    def _list(self, key: str) -> list[str]:
        found = self._store.get(KIND, key)
        return list(found["addresses"]) if found else []

    def _save(self, key: str, addresses: list[str]) -> None:
        self._store.put(KIND, key, {"addresses": addresses})
