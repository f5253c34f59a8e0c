"""What a sender is due for what he did: nothing, a delay, a challenge (429), a block (403).

Points are given for refused and suspicious requests and leak away evenly; success takes some back, so that it is the
ratio that counts. A signed-in person or a key is judged by its own doing, everybody else by address: whoever
shares an address with an attacker can still work, and an attacker without a credential blocks no account.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

MAX_SENDERS: Final = 50_000
LEAK_PER_SECOND: Final = 20 / 60
DELAY_POINTS: Final = 40.0
CHALLENGE_POINTS: Final = 80.0
BLOCK_POINTS: Final = 160.0
MAX_NEW: Final = 256
"""So many different paths of one sender are told apart."""
FORGET_SECONDS: Final = 600.0
"""Of silence, after which a sender's paths are new again."""


class Rung(IntEnum):
    OBSERVE = 0
    DELAY = 1
    CHALLENGE = 2
    BLOCK = 3


@dataclass(slots=True)
class _Sender:
    points: float = 0.0
    since: float = 0.0
    blocked_until: float = 0.0
    rung: Rung = Rung.OBSERVE
    seen: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Due:
    """`seconds` until it is less."""

    rung: Rung
    seconds: int = 0


_NOTHING: Final = Due(Rung.OBSERVE)


class Ladder:
    """Of this process; the senders seen longest ago are forgotten first."""

    def __init__(self, block_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._block_seconds = block_seconds
        self._monotonic = monotonic
        self._senders: OrderedDict[str, _Sender] = OrderedDict()

    def due(self, sender: str) -> Due:
        """What this sender meets now. One look-up for those who did nothing."""
        found = self._senders.get(sender)
        if found is None:
            return _NOTHING
        now = self._monotonic()
        self._settle(found, now)
        if found.blocked_until > now:
            return Due(Rung.BLOCK, math.ceil(found.blocked_until - now))
        if found.points >= CHALLENGE_POINTS:
            wait = (found.points - CHALLENGE_POINTS) / LEAK_PER_SECOND
            return Due(Rung.CHALLENGE, max(1, math.ceil(wait)))
        return Due(Rung.DELAY) if found.points >= DELAY_POINTS else _NOTHING

    def add(self, sender: str, points: float) -> Rung | None:
        """The rung, when these points lead to a higher one than before."""
        found = self._sender(sender)
        found.points += points
        rung = Rung(sum(found.points >= limit for limit in (DELAY_POINTS, CHALLENGE_POINTS, BLOCK_POINTS)))
        higher = rung if rung > found.rung else None
        found.rung = rung
        if rung is Rung.BLOCK:
            found.blocked_until = max(found.blocked_until, self._monotonic() + self._block_seconds)
            found.points = CHALLENGE_POINTS
        return higher

    def block(self, sender: str) -> None:
        found = self._sender(sender)
        found.rung = Rung.BLOCK
        found.blocked_until = self._monotonic() + self._block_seconds

    def credit(self, sender: str, points: float) -> None:
        found = self._senders.get(sender)
        if found is not None:
            found.points = max(0.0, found.points - points)

    def is_new(self, sender: str, what: bytes) -> bool:
        """Whether this sender asks for this for the first time (as far as is remembered): looking for something
        that is gone again and again is no search."""
        seen = self._sender(sender).seen
        mark = hash(what)
        if mark in seen:
            return False
        if len(seen) < MAX_NEW:
            seen.add(mark)
        return True

    def _sender(self, sender: str) -> _Sender:
        found = self._senders.get(sender)
        now = self._monotonic()
        if found is None:
            found = self._senders[sender] = _Sender(since=now)
            if len(self._senders) > MAX_SENDERS:
                self._senders.popitem(last=False)
            return found
        self._senders.move_to_end(sender)
        self._settle(found, now)
        return found

    def _settle(self, found: _Sender, now: float) -> None:
        if now - found.since > FORGET_SECONDS:
            found.seen.clear()
        found.points = max(0.0, found.points - (now - found.since) * LEAK_PER_SECOND)
        found.since = now
        if found.blocked_until <= now:
            limits = (DELAY_POINTS, CHALLENGE_POINTS, BLOCK_POINTS)
            found.rung = min(found.rung, Rung(sum(found.points >= limit for limit in limits)))


def network_of(address: str, v4: int = 24, v6: int = 48) -> str:
    """The network around an address, as text."""
    parsed = ipaddress.ip_address(address)
    prefix = v4 if parsed.version == 4 else v6
    return str(ipaddress.ip_network((parsed, prefix), strict=False))


def sender_of(subject: str | None, client_ip: str | None) -> str | None:
    """The key of a sender: who he is, else where he comes from (IPv6: the /64 that one customer of a provider has)."""
    if subject is not None:
        return subject
    if client_ip is None or ":" not in client_ip:
        return client_ip
    return network_of(client_ip, v6=64)
