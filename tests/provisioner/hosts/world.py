"""A small outside world for one test module: signed DNS, a resolver, ACME, and real servers on a bridge.

By hand: `python -m tests.provisioner.hosts.world --dir /tmp/hw --servers 2` installs servers and holds them up
until SIGTERM; `/tmp/hw/world.json` says where they are.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from pydantic import SecretStr

from sandbox.dns.records import reverse_name
from sandbox.hosts.fleet import Hosts
from sandbox.hosts.instance import Instance
from sandbox.hosts.surroundings import Surroundings
from sandbox.infrastructure import Infrastructure
from sandbox.settings import SandboxSettings
from services.provisioner.hosts.cloud_init import one_time_host_key, render_user_data
from services.provisioner.hosts.desired import (
    DkimSelectors,
    DomainOnHost,
    HostDesired,
    HostFacts,
    MailboxDesired,
    MailboxVerifier,
)
from services.provisioner.hosts.driver import SshHost
from services.provisioner.hosts.port import HostAddress, HostError, HostUnreachable, InstallStatus
from services.provisioner.hosts.ssh_authority import SshAuthority
from shared.clock import SystemClock

IMAGES = Path(__file__).parents[3] / "var" / "images"
Answer = TypeVar("Answer")
PLATFORM_ZONE = "sendchief.test."
SELECTORS = DkimSelectors.of_month(datetime(2026, 11, 1, tzinfo=UTC))


@dataclass
class Server:
    """One machine and what the control plane knows of it."""

    instance: Instance
    server_id: str
    hostname: str
    ipv4: str
    ipv6: str
    address: HostAddress
    desired: HostDesired
    facts: HostFacts | None = None

    async def inside(self, script: str) -> str:
        """Runs a shell script as the machine's root, behind the product's back."""
        return await self.instance.run_inside(["/bin/sh", "-c", script])


class World:
    """The outside world and the control plane's way into it."""

    def __init__(self, directory: Path, outside: Infrastructure, authority_key: SecretStr) -> None:
        self.infrastructure = outside
        self.addresses = outside.addresses
        self.tree = outside.tree
        self.acme = outside.acme
        self.authority = SshAuthority(authority_key, SystemClock())
        self.ssh = SshHost(self.authority)
        self.surroundings = Surroundings(
            root_hints=outside.tree.hints_file.read_text(), trust_anchor=outside.tree.anchor_file.read_text()
        )
        self.trust_acme()
        self.hosts = Hosts(
            directory / "hosts",
            outside.namespace,
            IMAGES,
            self.surroundings,
            log_dir=directory / "log",
            progress=lambda _: None,
        )

    def certificate_authorities(self) -> list[str]:
        outside = self.infrastructure
        return [outside.authority.ca_file.read_text(), outside.acme.root_file.read_text()]

    def trust_acme(self) -> None:
        """Servers trust the ACME server's present root from their next boot on."""
        self.surroundings.certificates = self.certificate_authorities()

    async def boot(self, number: int, image: str = "golden") -> Server:
        """A fresh machine with our user data, powered on; not yet set up. Its names are in DNS at once."""
        server_id = (
            "srv_"
            + hashlib.sha256(f"{self.infrastructure.namespace.identifier}{number}".encode()).hexdigest()[:32]
        )
        hostname = f"s{number:08x}.mx.sendchief.test"
        v4, v6 = self.addresses.vps_v4()[number], self.addresses.vps_v6_prefix(number + 1)[1]
        instance = await self.hosts.create(
            f"vps{number}",
            image=image,  # type: ignore[arg-type]
            hostname=f"vps{number}",
            v4=[v4],
            v6=[v6],
        )
        host_key = one_time_host_key()
        user_data = render_user_data(
            server_id=server_id,
            hostname=hostname,
            host_key=host_key,
            user_ca_public_key=self.authority.public_key,
        )
        await instance.set_user_data(user_data.get_secret_value().encode())
        await self.hosts.allow_mail(f"vps{number}", True)
        await instance.start()
        await self.tree.set_records(f"{hostname}.", "A", [str(v4)])
        await self.tree.set_records(f"{hostname}.", "AAAA", [str(v6)])
        await self.tree.set_records(f"{hostname}.", "TXT", [f'"v=spf1 ip4:{v4} ip6:{v6} -all"'])
        await self.tree.set_records(reverse_name(v4), "PTR", [f"{hostname}."])
        await self.tree.set_records(reverse_name(v6), "PTR", [f"{hostname}."])
        desired = HostDesired(
            generation=1,
            server_id=server_id,
            hostname=hostname,
            ipv4=v4,
            ipv6=v6,
            control_plane_v4=(IPv4Network(self.addresses.control_plane),),
            control_plane_v6=(IPv6Network(self.addresses.v6_of(62)),),
            acme_directory=self.acme.directory_url,
            acme_contact="hostmaster@sendchief.test",
            host_dkim=SELECTORS,
            reports=HostDesired.reports_of(hostname),
        )
        address = HostAddress(server_id, str(v4), host_key.public)
        return Server(instance, server_id, hostname, str(v4), str(v6), address, desired)

    async def install(self, server: Server, run_id: str = "run1") -> InstallStatus:
        """First contact, then an install run, waited for."""
        new_key = await when_reachable(lambda: self.ssh.first_contact(server.address))
        await when_reachable(lambda: self.ssh.adopt_host_key(server.address, new_key))
        server.address = HostAddress(server.server_id, server.address.address, new_key)
        status = await when_reachable(
            lambda: self.ssh.upload_and_start_install(server.address, run_id, server.desired)
        )
        while status.state == "running":
            await asyncio.sleep(0.2)
            with contextlib.suppress(HostError):
                status = await self.ssh.install_status(server.address, run_id)
        return status

    async def publish(self, server: Server) -> HostFacts:
        """TLSA for both keys, as the DNS service would."""
        facts = await self.ssh.facts(server.address)
        digests = (facts.tls.current_spki_sha256, facts.tls.next_spki_sha256)
        await self.tree.set_records(
            f"_25._tcp.{server.hostname}.", "TLSA", [f"3 1 1 {digest}" for digest in digests]
        )
        server.facts = facts
        return facts

    async def add_domain(self, server: Server, name: str, mailboxes: dict[str, str]) -> HostFacts:
        """A domain with mailboxes (address: password): on the host, in DNS, with its certificate."""
        domain = DomainOnHost(domain_id=f"dom_{name}", name=name, dkim_selectors=SELECTORS)
        boxes = [
            MailboxDesired(
                mailbox_id=f"mbx_{address}",
                address=address,
                verifiers=(MailboxVerifier(version=1, hash=argon2(password)),),
            )
            for address, password in mailboxes.items()
        ]
        server.desired = server.desired.model_copy(
            update={
                "generation": server.desired.generation + 1,
                "domains": (*server.desired.domains, domain),
                "mailboxes": (*server.desired.mailboxes, *boxes),
            }
        )
        facts = await self.ssh.apply(server.address, server.desired)
        await self.publish_domain(server, name, facts)
        return facts

    async def publish_domain(self, server: Server, name: str, facts: HostFacts) -> None:
        """Everything a sending domain needs in its own zone."""
        if not self.tree.has_zone(f"{name}."):
            await self.tree.create_zone(f"{name}.")
        await self.tree.set_records(f"{name}.", "MX", [f"10 {server.hostname}."])
        await self.tree.set_records(f"{name}.", "TXT", [f'"v=spf1 a:{server.hostname} -all"'])
        await self.tree.set_records(f"_dmarc.{name}.", "TXT", ['"v=DMARC1; p=reject; adkim=s; aspf=s"'])
        for key in facts.dkim_of(name):
            text = f"v=DKIM1; k={key.algorithm}; p={key.public_key_b64}"
            quoted = " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250))
            await self.tree.set_records(f"{key.selector}._domainkey.{name}.", "TXT", [quoted])
        for label in ("mta-sts", "autoconfig", "autodiscover"):
            await self.tree.set_records(f"{label}.{name}.", "CNAME", [f"{server.hostname}."])

    async def stop(self) -> None:
        await asyncio.gather(*(self.hosts.delete(each.record.id) for each in self.hosts.all()))


async def when_reachable(call: Callable[[], Awaitable[Answer]], seconds: float = 60) -> Answer:
    """Tries again while the host does not answer, as the reconciler does."""
    ends = time.monotonic() + seconds
    while True:
        try:
            return await call()
        except HostUnreachable:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(0.1)


def argon2(password: str) -> str:
    """A verifier as the vault makes it, with less memory so that tests stay quick."""
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(password)


@contextlib.asynccontextmanager
async def world(directory: Path, authority_key: SecretStr | None = None) -> AsyncIterator[World]:
    """Up, and gone again with everything in it."""
    identifier = "h" + hashlib.sha256(str(directory).encode()).hexdigest()[:7]
    outside = await Infrastructure.claim(SandboxSettings(directory=directory, identifier=identifier))
    try:
        await outside.start(lambda _: None)
        await outside.tree.create_zone(PLATFORM_ZONE)
        made = World(directory, outside, authority_key or SshAuthority.generate())
        try:
            yield made
        finally:
            await made.stop()
    finally:
        await outside.stop()


async def _hold(directory: Path, count: int, image: str) -> None:
    stopped = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    key = SshAuthority.generate()
    async with world(directory, key) as made:
        clock = time.monotonic()
        servers = await asyncio.gather(*(made.boot(number, image) for number in range(count)))
        for server in servers:
            one = time.monotonic()
            try:
                status = await made.install(server)
            except HostError as error:
                print(type(error).__name__, error, flush=True)
                continue
            print(server.hostname, status.state, status.error, f"{time.monotonic() - one:.1f} s", flush=True)
            for step in status.steps:
                print(
                    f"  {step.name:12} {step.seconds:7.2f} {'ok' if step.ok else 'FAILED'} {step.message}",
                    flush=True,
                )
            if status.state == "ok":
                await made.publish(server)
                print(await made.ssh.certificates(server.address), flush=True)
                name = f"example-{server.hostname[8]}.test"
                applied = time.monotonic()
                facts = await made.add_domain(
                    server, name, {f"alice@{name}": "secret-a", f"bob@{name}": "secret-b"}
                )
                print(f"apply {time.monotonic() - applied:.1f} s", facts.mailboxes, flush=True)
                print(await made.ssh.certificates(server.address), flush=True)
        print(f"all after {time.monotonic() - clock:.1f} s", flush=True)
        _describe(directory, made, key, servers)
        await stopped.wait()


def _describe(directory: Path, made: World, key: SecretStr, servers: Sequence[Server]) -> None:
    described = {
        "authority": key.get_secret_value(),
        "range": made.addresses.describe(),
        "servers": [
            {
                "server_id": server.server_id,
                "hostname": server.hostname,
                "ipv4": server.ipv4,
                "ipv6": server.ipv6,
                "host_key": server.address.pinned_host_key,
                "pid": server.instance.guest_pid(),
                "desired": server.desired.model_dump(mode="json"),
            }
            for server in servers
        ],
    }
    (directory / "world.json").write_text(json.dumps(described, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--image", default="golden")
    arguments = parser.parse_args()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    asyncio.run(_hold(arguments.dir.resolve(), arguments.servers, arguments.image))


if __name__ == "__main__":
    main()
