"""How long a sign-in has to wait after failed ones: delays that grow, never a lock-out.

Counted per pair of address and network, per address, per network, and over everybody. An attacker who knows an
address can slow its owner by a few seconds from a browser that is new to us, so the per-address delay stays short,
and not at all from one that has signed in before (`device_cookies.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

FORGET_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Rule:
    """No delay for the first `free` failures, then 1, 2, 4 … seconds up to `longest`."""

    free: int
    longest: int

    def delay(self, failures: int) -> timedelta:
        over = failures - self.free
        return timedelta(seconds=min(2 ** min(over, 16), self.longest)) if over >= 0 else timedelta(0)


PAIR = Rule(free=3, longest=60)
ADDRESS = Rule(free=10, longest=5)
NETWORK = Rule(free=30, longest=60)

DEVICE = Rule(free=5, longest=60)
"""With a device cookie: somebody who may have stolen it is no better off than at the front door."""

CODE = Rule(free=5, longest=300)
"""Wrong codes of one account by somebody who has its password: some 300 tries a day, each with
three chances in a million (a step before, now, a step after)."""


@dataclass(frozen=True)
class Keys:
    """What failures are counted by. Addresses are stored only as keyed hashes."""

    pair: bytes
    address: bytes
    network: bytes

    @classmethod
    def of(cls, pepper: bytes, email: str, client_ip: str | None) -> Keys:
        network = _network(client_ip)
        return cls(
            pair=_hash(pepper, f"pair|{email}|{network}"),
            address=_hash(pepper, f"address|{email}"),
            network=_hash(pepper, f"network|{network}"),
        )

    def rules(self) -> dict[bytes, Rule]:
        return {self.pair: PAIR, self.address: ADDRESS, self.network: NETWORK}


def code_key(pepper: bytes, account_id: str) -> bytes:
    return _hash(pepper, f"code|{account_id}")


def reauthentication_key(pepper: bytes, account_id: str) -> bytes:
    """Wrong passwords of somebody who holds a session already: who stole it shall not guess on."""
    return _hash(pepper, f"reauthentication|{account_id}")


def device_key(pepper: bytes, nonce: str) -> bytes:
    return _hash(pepper, f"device|{nonce}")


@dataclass(frozen=True)
class Throttle:
    """A leaky bucket over everybody: `burst` failures at once, then `per_second`. Successes do not count."""

    name: str
    burst: int
    per_second: int
    pause: int
    """Seconds that a caller is told to wait when it is full."""

    @property
    def cost(self) -> timedelta:
        return timedelta(seconds=1 / self.per_second)

    @property
    def room(self) -> timedelta:
        return self.burst * self.cost


EVERYBODY = Throttle("sign_in", burst=300, per_second=5, pause=5)
"""One try at each of ten thousand accounts, from ten thousand networks, trips nothing else."""


def wait_seconds(rule: Rule, failures: int, last_failed_at: datetime, now: datetime) -> int:
    """Whole seconds until the next try is allowed; 0 when it is now. Never more than the rule's longest delay,
    whatever another machine's clock wrote."""
    delay = rule.delay(failures)
    if not delay or now - last_failed_at > FORGET_AFTER:
        return 0
    return min(max(0, math.ceil((last_failed_at + delay - now).total_seconds())), rule.longest)


def _network(client_ip: str | None) -> str:
    """An IPv4 address, or the /64 that one IPv6 customer has."""
    if not client_ip:
        return "unknown"
    try:
        address = ipaddress.ip_address(client_ip)
    except ValueError:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _hash(pepper: bytes, text: str) -> bytes:
    return hmac.digest(pepper, text.encode(), hashlib.sha256)
