"""The addresses of one sandbox: a /26 of TEST-NET-2 (RFC 5737) and a /64 of the documentation prefix (RFC 3849).

Four sandboxes fit on a machine. Which range is taken is held by a lock file per range (flock, so it falls free
when the process ends, however it ends) and checked against the routes of the machine.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path

from sandbox.net.commands import run

V4_POOL = IPv4Network("198.51.100.0/24")
V6_POOL = IPv6Network("2001:db8:5c::/48")
# Documentation networks that some machines really use (their own address, their package mirror): never routed.
NEVER_ROUTED = (IPv4Network("192.0.2.0/24"), IPv4Network("203.0.113.0/24"))
RANGE_COUNT = 4
LOCK_DIR = Path("/run/lock")

GATEWAY = 1
AUTHORITATIVE_DNS = 2
RESOLVER = 3
BLACKLISTS = 4
ACME = 5
OUTSIDE_MAIL = 6
LAST_RESERVED = 15
FIRST_VPS = 16
LAST_VPS = 59
APT_PROXY = 61
CONTROL_PLANE = 62


DEVICE_PREFIX = "sc-"  # of the host side of every sandbox's veth


class NoRangeFree(RuntimeError):
    """No range can be taken; the message says what occupies each one and what to do."""


@dataclass(frozen=True)
class Route:
    """One entry of the machine's route tables (`ip route show table all`), the default route left out."""

    network: IPv4Network | IPv6Network
    device: str

    def __str__(self) -> str:
        return f"{self.network} dev {self.device or '-'}"


@dataclass(eq=False)
class AddressRange:
    """Range `index` (0..3): 198.51.100.(64*index)/26 and 2001:db8:5c:index::/64.

    The named properties are the fixed places in the /26; `v6_of(offset)` is the same offset in the /64.
    A range made by `claim` holds its lock until `release`.
    """

    index: int
    _lock: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.index < RANGE_COUNT:
            raise ValueError(f"range index {self.index} is not in 0..{RANGE_COUNT - 1}")

    @property
    def v4(self) -> IPv4Network:
        return IPv4Network((int(V4_POOL.network_address) + 64 * self.index, 26))

    @property
    def v6(self) -> IPv6Network:
        return IPv6Network((int(V6_POOL.network_address) + (self.index << 64), 64))

    def v4_of(self, offset: int) -> IPv4Address:
        return self.v4[offset]

    def v6_of(self, offset: int) -> IPv6Address:
        return self.v6[offset]

    @property
    def gateway(self) -> IPv4Address:
        return self.v4_of(GATEWAY)

    @property
    def authoritative_dns(self) -> IPv4Address:
        return self.v4_of(AUTHORITATIVE_DNS)

    @property
    def resolver(self) -> IPv4Address:
        return self.v4_of(RESOLVER)

    @property
    def blacklists(self) -> IPv4Address:
        return self.v4_of(BLACKLISTS)

    @property
    def acme(self) -> IPv4Address:
        return self.v4_of(ACME)

    @property
    def outside_mail(self) -> IPv4Address:
        return self.v4_of(OUTSIDE_MAIL)

    @property
    def apt_proxy(self) -> IPv4Address:
        return self.v4_of(APT_PROXY)

    @property
    def control_plane(self) -> IPv4Address:
        return self.v4_of(CONTROL_PLANE)

    def vps_v4(self) -> list[IPv4Address]:
        """Every IPv4 address that a server can get, lowest first."""
        return [self.v4_of(offset) for offset in range(FIRST_VPS, LAST_VPS + 1)]

    def vps_v6_prefix(self, number: int) -> IPv6Network:
        """The /80 number `number` (1..65535) of the /64: what the cloud hands out as a server's IPv6 prefix."""
        if not 1 <= number <= 0xFFFF:
            raise ValueError(f"IPv6 prefix number {number} is not in 1..65535")
        return IPv6Network((int(self.v6.network_address) + (number << 48), 80))

    def infra_offsets(self) -> Iterator[int]:
        """Offsets carried by the bridge inside the namespace."""
        return iter(range(GATEWAY, LAST_RESERVED + 1))

    def describe(self) -> dict[str, str | int]:
        """For endpoints.json: the range and its named places as text."""
        return {
            "index": self.index,
            "v4": str(self.v4),
            "v6": str(self.v6),
            "gateway": str(self.gateway),
            "gateway_v6": str(self.v6_of(GATEWAY)),
            "resolver": str(self.resolver),
            "authoritative_dns": str(self.authoritative_dns),
            "blacklists": str(self.blacklists),
            "acme": str(self.acme),
            "outside_mail": str(self.outside_mail),
            "control_plane": str(self.control_plane),
            "control_plane_v6": str(self.v6_of(CONTROL_PLANE)),
        }

    @classmethod
    async def claim(
        cls,
        lock_dir: Path = LOCK_DIR,
        *,
        owner: Path | None = None,
        only: int | None = None,
        own_device: str = "",
    ) -> AddressRange:
        """Take the first free range and hold its lock file in `lock_dir` until `release` or the process's end.

        `owner` is written into the lock file; a range last used by another owner whose directory still exists is
        taken only when no other is left (its servers would want their addresses back). `only` takes exactly that
        range: servers kept on disk have addresses in it. Routes over `own_device` are our own leftovers.
        Raises NoRangeFree.
        """
        routes = [route for route in await machine_routes() if not own_device or route.device != own_device]
        candidates = [cls(index) for index in (range(RANGE_COUNT) if only is None else (only,))]
        candidates.sort(key=lambda each: each._parked_by_another(lock_dir, owner))
        reasons: list[str] = []
        for candidate in candidates:
            conflict = candidate.conflict_with(routes)
            if conflict is not None:
                reasons.append(f"{candidate.v4} / {candidate.v6}: the machine already has a route {conflict}")
                continue
            holder = candidate._take(lock_dir, owner)
            if holder is None:
                return candidate
            reasons.append(f"{candidate.v4} / {candidate.v6}: held by {holder}")
        if only is None and (orphan := await cls._orphan(candidates, routes, lock_dir, owner)) is not None:
            return orphan
        raise NoRangeFree(
            "no address range is free for the sandbox. "
            + "; ".join(reasons)
            + ". Stop another stack (`make down` in its checkout) or remove the overlapping route"
            + (
                ""
                if only is None
                else f", or give up this stack's servers (`make clean`): they live in {cls(only).v4}"
            )
            + "."
        )

    @staticmethod
    async def _orphan(
        candidates: Sequence[AddressRange], routes: Sequence[Route], lock_dir: Path, owner: Path | None
    ) -> AddressRange | None:
        """A range whose routes are a sandbox's that nobody runs any more (its lock is free), cleared of it."""
        from sandbox.net.namespace import Namespace  # which needs this module

        for candidate in candidates:
            conflict = candidate.conflict_with(routes)
            if conflict is None or not conflict.device.startswith(DEVICE_PREFIX):
                continue
            if candidate._take(lock_dir, owner) is None:
                await Namespace(conflict.device.removeprefix(DEVICE_PREFIX), candidate, lock_dir).down()
                return candidate
        return None

    def conflict_with(self, routes: Sequence[Route]) -> Route | None:
        """The first route that overlaps this range, or None."""
        for route in routes:
            mine: IPv4Network | IPv6Network = self.v4 if isinstance(route.network, IPv4Network) else self.v6
            if mine.overlaps(route.network):
                return route
        return None

    def release(self) -> None:
        """Give the lock back. The file stays: unlinking a locked file lets two processes hold 'the' lock."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _lock_file(self, lock_dir: Path) -> Path:
        return lock_dir / f"sendchief-range-{self.index}"

    def _parked_by_another(self, lock_dir: Path, owner: Path | None) -> bool:
        recorded = _read_lock(self._lock_file(lock_dir)).get("owner")
        return bool(recorded) and recorded != str(owner) and Path(str(recorded)).exists()

    def _take(self, lock_dir: Path, owner: Path | None) -> str | None:
        """Lock the file and write who we are; a text saying who holds it when it is taken."""
        lock_dir.mkdir(parents=True, exist_ok=True)
        path = self._lock_file(lock_dir)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            held = _read_lock(path)
            return f"process {held.get('pid', '?')} ({held.get('owner') or 'owner unknown'})"
        os.ftruncate(descriptor, 0)
        os.pwrite(
            descriptor, json.dumps({"pid": os.getpid(), "owner": str(owner) if owner else None}).encode(), 0
        )
        self._lock = descriptor
        return None


def _read_lock(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text() or "{}")
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


async def machine_routes() -> list[Route]:
    """All routes of this machine, of all tables and both families, without default routes and multicast."""
    found: list[Route] = []
    for family in ("-4", "-6"):
        for entry in json.loads(await run("ip", "-j", family, "route", "show", "table", "all") or "[]"):
            destination = str(entry.get("dst", "default"))
            if destination == "default":
                continue
            network = ip_network(destination, strict=False)
            if not network.is_multicast and network.prefixlen > 0:
                found.append(Route(network=network, device=str(entry.get("dev", ""))))
    return found
