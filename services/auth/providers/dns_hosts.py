"""Addresses of hosts by dnspython, from the configured resolvers; the system's when there are none."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.name

from shared.http.public import Unreachable
from shared.special_use import IPAddress

SECONDS = 5.0


class DnsHosts:
    """A `HostResolver`. A name is looked up as it is written: no search list, no hosts file."""

    def __init__(self, resolvers: Sequence[str] | None, *, port: int = 53) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=resolvers is None)
        if resolvers is not None:
            self._resolver.nameservers = list(resolvers)
        self._resolver.port = port
        self._resolver.lifetime = SECONDS

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        """A, then AAAA. Raises Unreachable when neither can be told, or one of them not for certain."""
        name = dns.name.from_text(host)
        found = await asyncio.gather(self._of(name, "A"), self._of(name, "AAAA"))
        return [address for some in found for address in some]

    async def _of(self, name: dns.name.Name, kind: str) -> list[IPAddress]:
        try:
            answer = await self._resolver.resolve(name, kind, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            raise Unreachable("the name does not exist") from None
        except dns.exception.DNSException:
            raise Unreachable("the name could not be resolved") from None
        return [ipaddress.ip_address(item.to_text()) for item in answer.rrset or ()]
