"""The network and the daemons of one sandbox, started and stopped together."""

from __future__ import annotations

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from ipaddress import ip_network

from sandbox.acme import AcmeServer
from sandbox.dns import AuthoritativeServer, Resolver, Tree
from sandbox.dns.records import reverse_name
from sandbox.dnsbl import Blacklists, write_catalogue
from sandbox.net import AddressRange, Namespace
from sandbox.net.addresses import V4_POOL
from sandbox.outside import OutsideHost
from sandbox.scaleway.world import Address
from sandbox.settings import SandboxSettings
from sandbox.store import Store
from sandbox.tls import Authority

Progress = Callable[[str], None]
SERVER_FILES = "hosts/*/instance.json"


class Infrastructure:
    """Address range, namespace, DNS tree, resolver, blacklists, ACME server and the outside mail host."""

    def __init__(self, settings: SandboxSettings, addresses: AddressRange) -> None:
        directory = settings.directory
        logs = directory / "log"
        self.addresses = addresses
        self.namespace = Namespace(settings.identifier, addresses, directory / "run")
        self.authority = Authority(directory / "tls")
        self.server = AuthoritativeServer(self.namespace, directory / "dns", logs / "pdns.log")
        self.tree = Tree(self.server, directory / "dns")
        self.resolver = Resolver(
            self.namespace,
            directory / "resolver",
            logs / "unbound.log",
            hints=self.tree.hints_file,
            anchor=self.tree.anchor_file,
        )
        self.tree.on_keys_changed = self.resolver.forget
        self.blacklists = Blacklists(self.namespace, directory / "dnsbl", logs / "rbldnsd.log")
        self.blacklists_file = directory / "blacklists.toml"
        self.acme = AcmeServer(
            self.namespace,
            directory / "acme",
            logs / "pebble.log",
            authority=self.authority,
            validity_seconds=settings.certificate_days * 86_400,
            nonce_reject_percent=settings.nonce_reject_percent,
        )
        # Of its own: nobody verifies a plain host's certificate.
        own = Authority(directory / "outside", name="outside.test")
        self.outside = OutsideHost(
            self.namespace,
            Store(directory / "outside" / "books.sqlite3"),
            own.issue("mx", names=["mx.outside.test"]),
            resolver=str(self.resolver.address_v4),
        )
        self.processes: dict[str, Process] = {}

    @classmethod
    async def claim(cls, settings: SandboxSettings) -> Infrastructure:
        """End what a crash left behind and take an address range. Raises NoRangeFree.

        With servers on disk it must be the range that they have addresses in.
        """
        settings.directory.mkdir(parents=True, exist_ok=True)
        await Namespace(settings.identifier, AddressRange(0), settings.directory / "run").down()
        kept = settings.directory / "range"
        only = None
        if any(settings.directory.glob(SERVER_FILES)) and kept.exists():
            only = int(kept.read_text())
        addresses = await AddressRange.claim(
            owner=settings.directory, only=only, own_device=f"sc-{settings.identifier}"
        )
        kept.write_text(f"{addresses.index}\n")
        return cls(settings, addresses)

    async def start(self, progress: Progress) -> None:
        """Bring everything up, in the order in which one needs the other."""
        await self.namespace.up()
        progress(f"network namespace {self.namespace.name} with {self.addresses.v4} and {self.addresses.v6}")
        self.processes["pdns"] = await self.server.start()
        await self.tree.plant([V4_POOL, ip_network(str(self.addresses.v6))])
        progress(f"PowerDNS on {self.server.addresses_v4[0]}: signed root and {len(self.tree.zones())} zones")
        self.processes["unbound"] = await self.resolver.start()
        progress(f"unbound on {self.resolver.address_v4}: validates from our root")
        write_catalogue(self.blacklists_file)
        rbldnsd, pebble, _ = await asyncio.gather(
            self.blacklists.start(self.tree),
            self.acme.start(self.tree, self.resolver),
            self.outside.start(self.tree),
        )
        self.processes |= {"rbldnsd": rbldnsd, "pebble": pebble}
        progress(
            f"rbldnsd on {self.blacklists.address_v4}, pebble on {self.acme.address_v4},"
            f" outside mail host on {self.outside.address_v4}"
        )

    async def set_ptr(self, address: Address, name: str | None) -> None:
        """Write (or remove) the reverse record of an address."""
        reverse = reverse_name(address)
        if name is None:
            await self.tree.delete_records(reverse, "PTR")
        else:
            await self.tree.set_records(reverse, "PTR", [f"{name.rstrip('.')}."])

    def dead(self) -> list[str]:
        """Names of daemons that ended although nobody stopped them."""
        return [name for name, process in self.processes.items() if process.returncode is not None]

    async def stop(self) -> None:
        """End daemons and namespace, give the range back."""
        await self.outside.stop()
        self.processes.clear()
        await asyncio.gather(
            self.blacklists.stop(), self.acme.stop(), self.resolver.stop(), self.server.stop()
        )
        await self.namespace.down()
        self.addresses.release()


def stopwatch(prefix: str = "sandbox") -> Progress:
    """Prints each step with the seconds since the start."""
    start = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - start:7.2f} s] {prefix}: {text}", flush=True)

    return say
