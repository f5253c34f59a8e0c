"""The validating resolver: unbound with our root and its key, and no cache.

Stock unbound answers for ``test.`` and for the documentation networks itself (RFC 6303, RFC 6761); `nodefault` lets
these names through. The same three lines, hints and anchor are what a server needs to live in this world.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message

from sandbox.daemon import DaemonFailed, until_ready
from sandbox.net.addresses import RESOLVER
from sandbox.net.namespace import Namespace

LOCAL_ZONES = ("test.", "100.51.198.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.")

CONFIG = """\
server:
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: "{directory}/unbound.pid"
  use-syslog: no
  logfile: ""
  verbosity: 1
  num-threads: 1
  interface: {v4}
  interface: {v6}
  access-control: {v4_net} allow
  access-control: {v6_net} allow
  # Questions go out from the resolver's own address, as the blacklists see it.
  outgoing-interface: {v4}
  outgoing-interface: {v6}
  do-ip6: yes
  root-hints: "{hints}"
  trust-anchor-file: "{anchor}"
{local_zones}
  # The sandbox's answers change while tests look at them.
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  infra-host-ttl: 1
  msg-cache-size: 1m
  rrset-cache-size: 1m
  key-cache-size: 0
  neg-cache-size: 0
  val-bogus-ttl: 0
  aggressive-nsec: no
  serve-expired: no
  qname-minimisation: yes
  module-config: "validator iterator"
remote-control:
  control-enable: yes
  control-interface: "{directory}/unbound.ctl"
  control-use-cert: no
"""


class Resolver:
    """One unbound process on the resolver's address, both families, port 53."""

    def __init__(
        self, namespace: Namespace, directory: Path, log: Path, *, hints: Path, anchor: Path
    ) -> None:
        self._namespace = namespace
        self._directory = directory
        self._log = log
        self._hints = hints
        self._anchor = anchor
        self.address_v4 = namespace.addresses.v4_of(RESOLVER)
        self.address_v6 = namespace.addresses.v6_of(RESOLVER)

    async def start(self) -> Process:
        """Start unbound and wait until it gives a validated answer for the root."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "unbound.conf"
        config.write_text(
            CONFIG.format(
                directory=self._directory,
                v4=self.address_v4,
                v6=self.address_v6,
                v4_net=self._namespace.addresses.v4,
                v6_net=self._namespace.addresses.v6,
                hints=self._hints,
                anchor=self._anchor,
                local_zones="\n".join(f'  local-zone: "{zone}" nodefault' for zone in LOCAL_ZONES),
            )
        )
        process = await self._namespace.spawn(
            ["unbound", "-d", "-c", str(config)], log=self._log, cgroup="unbound"
        )
        await until_ready("unbound", process, self._log, self._validates)
        return process

    async def forget(self, zone: str) -> None:
        """Drop everything learned at and below `zone`, validated keys included (`flush_zone`, unbound-control(8))."""
        reader, writer = await asyncio.open_unix_connection(self._directory / "unbound.ctl")
        with contextlib.closing(writer):
            writer.write(f"UBCT1 flush_zone {zone}\n".encode())
            answer = (await reader.read()).decode()
        if not answer.startswith("ok"):
            raise DaemonFailed(f"unbound refused to forget {zone}: {answer.strip()}")

    async def stop(self) -> None:
        """End the daemon."""
        await self._namespace.stop("unbound")

    async def _validates(self) -> bool:
        question = dns.message.make_query(".", "NS", want_dnssec=True)
        with contextlib.suppress(dns.exception.DNSException, OSError):
            answer = await dns.asyncquery.udp(question, str(self.address_v4), timeout=0.2)
            return bool(answer.flags & dns.flags.AD)
        return False
