"""rbldnsd with one zone per list; entries are files that it reads again when we change them.

Each zone carries the test points of RFC 5782 section 5: 127.0.0.2 is listed and 127.0.0.1 is not, and the same for
::FFFF:7F00:2 and ::FFFF:7F00:1 where the list knows IPv6.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal, get_args

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype

from sandbox.daemon import until_ready
from sandbox.dns import Tree
from sandbox.dnsbl.catalogue import LISTS, Blacklist
from sandbox.net.addresses import BLACKLISTS
from sandbox.net.namespace import Namespace

NAME_SERVER = "rbl.sandbox.test."
TEST_POINT_V4 = IPv4Address("127.0.0.2")
TEST_POINT_V6 = IPv6Address("::ffff:7f00:2")
Address = IPv4Address | IPv6Address
# How a list behaves: as it should; answering nothing; listing everybody; refusing everybody in its own coding.
Mode = Literal["normal", "empty", "world", "refusing"]
MODES: tuple[str, ...] = get_args(Mode)
REFUSAL_CODE = "127.255.255.254"


class UnknownList(KeyError):
    """No list of the sandbox has this zone."""


@dataclass(frozen=True)
class Listing:
    """One entry: answer code in 127.0.0.0/8 and the text of the TXT answer."""

    address: str
    code: str = "127.0.0.2"
    reason: str = "listed by the sandbox"

    def __post_init__(self) -> None:
        if not self.code.startswith("127."):
            raise ValueError(f"answer {self.code} is outside 127.0.0.0/8 (RFC 5782 section 2.1)")
        IPv4Address(self.code)
        if any(character in self.reason for character in "\n\r:") or len(self.reason) > 200:
            raise ValueError("a reason is one line of at most 200 characters without a colon")


class Blacklists:
    """The lists; entries and modes survive a restart in ``<directory>/entries.json``."""

    def __init__(
        self, namespace: Namespace, directory: Path, log: Path, *, lists: Sequence[Blacklist] = LISTS
    ) -> None:
        self._namespace = namespace
        self._directory = directory
        self._log = log
        self._lists = {each.zone: each for each in lists}
        self._entries: dict[str, dict[str, Listing]] = {zone: {} for zone in self._lists}
        self._modes: dict[str, Mode] = dict.fromkeys(self._lists, "normal")
        self._stamp = 0
        self._process: Process | None = None
        self.address_v4 = namespace.addresses.v4_of(BLACKLISTS)
        self.address_v6 = namespace.addresses.v6_of(BLACKLISTS)

    async def start(self, tree: Tree) -> Process:
        """Write the zone files, start rbldnsd, delegate each zone (unsigned) from the tree."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._load()
        zones = []
        for each in self._lists.values():
            self._write(each.zone)
            zones.append(f"{each.zone}:ip4set:{each.zone}.ip4")
            if each.ipv6:
                zones.append(f"{each.zone}:ip6trie:{each.zone}.ip6")
        listen = ["-b", f"{self.address_v4}/53", "-b", f"{self.address_v6}/53"]
        process = await self._namespace.spawn(
            ["rbldnsd", "-n", "-u", "rbldns", "-w", str(self._directory), "-c", "1s", *listen, *zones],
            log=self._log,
            cgroup="rbldnsd",
        )
        self._process = process
        await until_ready("rbldnsd", process, self._log, self._answers)
        await tree.set_records(NAME_SERVER, "A", [str(self.address_v4)])
        await tree.set_records(NAME_SERVER, "AAAA", [str(self.address_v6)])
        for zone in self._lists:
            await tree.delegate_to(zone, NAME_SERVER)
        return process

    async def stop(self) -> None:
        """End the daemon."""
        await self._namespace.stop("rbldnsd")

    async def put(self, zone: str, address: Address, code: str, reason: str) -> Listing:
        """List an address; returns when the list answers so. Raises UnknownList, ValueError."""
        listing = Listing(str(address), code, reason)
        if isinstance(address, IPv6Address) and not self._known(zone).ipv6:
            raise ValueError(f"{zone} lists IPv4 addresses only")
        self._entries[self._known(zone).zone][str(address)] = listing
        await self._publish(zone, address)
        return listing

    async def delete(self, zone: str, address: Address) -> bool:
        """Take an address off the list; returns when the list answers so. False when it was not on it."""
        if self._entries[self._known(zone).zone].pop(str(address), None) is None:
            return False
        await self._publish(zone, address)
        return True

    async def set_mode(self, zone: str, mode: Mode) -> None:
        """Let a whole list misbehave (or behave again)."""
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
        self._modes[self._known(zone).zone] = mode
        await self._publish(zone, TEST_POINT_V4)

    def view(self) -> list[dict[str, object]]:
        """All lists with their mode and entries, for the control API."""
        return [
            {
                "zone": zone,
                "name": each.name,
                "tier": each.tier,
                "ipv6": each.ipv6,
                "mode": self._modes[zone],
                "entries": [asdict(entry) for entry in self._entries[zone].values()],
            }
            for zone, each in self._lists.items()
        ]

    def _known(self, zone: str) -> Blacklist:
        try:
            return self._lists[zone.rstrip(".").lower()]
        except KeyError:
            raise UnknownList(zone) from None

    def _load(self) -> None:
        path = self._directory / "entries.json"
        if not path.exists():
            return
        saved = json.loads(path.read_text())
        for zone in self._lists:
            self._modes[zone] = saved["modes"].get(zone, "normal")
            self._entries[zone] = {e["address"]: Listing(**e) for e in saved["entries"].get(zone, [])}

    def _save(self) -> None:
        entries = {zone: [asdict(e) for e in each.values()] for zone, each in self._entries.items()}
        path = self._directory / "entries.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"modes": self._modes, "entries": entries}, indent=1))
        temporary.replace(path)

    async def _publish(self, zone: str, address: Address) -> None:
        """Rewrite a zone and wait until its server answers accordingly for `address`."""
        known = self._known(zone)
        self._save()
        self._write(known.zone)
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGHUP)
        expected = self._expected(known.zone, address)

        async def shown() -> bool:
            return await self._ask(known.zone, address) == expected

        await until_ready("rbldnsd", process, self._log, shown, seconds=5.0)

    def _expected(self, zone: str, address: Address) -> str | None:
        match self._modes[zone]:
            case "empty":
                return None
            case "world":
                return "127.0.0.2"
            case "refusing":
                return REFUSAL_CODE
        if address in (TEST_POINT_V4, TEST_POINT_V6):
            return "127.0.0.2"
        entry = self._entries[zone].get(str(address))
        return entry.code if entry else None

    def _write(self, zone: str) -> None:
        known = self._lists[zone]
        self._write_file(zone, "ip4", [TEST_POINT_V4], ["0.0.0.0/1", "128.0.0.0/1"])
        if known.ipv6:
            self._write_file(zone, "ip6", [TEST_POINT_V6], ["::/1", "8000::/1"])

    def _write_file(
        self, zone: str, family: str, test_points: Sequence[Address], everybody: Sequence[str]
    ) -> None:
        lines = [
            f"$SOA 60 {NAME_SERVER} hostmaster.sandbox.test. 0 60 60 3600 0",
            f"$NS 60 {NAME_SERVER}",
            "$TTL 5",
        ]
        mode = self._modes[zone]
        if mode == "normal":
            lines += [f"{each} :127.0.0.2:test point" for each in test_points]
            for entry in self._entries[zone].values():
                if (":" in entry.address) == (family == "ip6"):
                    lines.append(f"{entry.address} :{entry.code}:{entry.reason}")
        elif mode in ("world", "refusing"):
            code = REFUSAL_CODE if mode == "refusing" else "127.0.0.2"
            lines += [f"{network} :{code}:{mode}" for network in everybody]
        path = self._directory / f"{zone}.{family}"
        temporary = path.with_name(path.name + ".new")
        temporary.write_text("\n".join(lines) + "\n")
        # rbldnsd looks at the whole seconds of the modification time: each version needs one of its own.
        self._stamp = max(self._stamp + 1, int(temporary.stat().st_mtime))
        if path.exists():
            self._stamp = max(self._stamp, int(path.stat().st_mtime) + 1)
        os.utime(temporary, (self._stamp, self._stamp))
        temporary.replace(path)

    async def _answers(self) -> bool:
        zone = next(iter(self._lists))
        return await self._ask(zone, TEST_POINT_V4) == self._expected(zone, TEST_POINT_V4)

    async def _ask(self, zone: str, address: Address) -> str | None:
        """The list's answer for an address, asked at its server; None = not listed, "" = no answer."""
        labels = address.reverse_pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
        question = dns.message.make_query(f"{labels}.{zone}.", "A")
        with contextlib.suppress(dns.exception.DNSException, OSError):
            answer = await dns.asyncquery.udp(question, str(self.address_v4), timeout=0.3)
            found = [r.to_text() for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for r in rrset]
            if found or answer.rcode() == dns.rcode.NXDOMAIN:
                return found[0] if found else None
        return ""
