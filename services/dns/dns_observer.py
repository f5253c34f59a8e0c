"""The eyes on DNS, by dnspython: every address of every authoritative server of a zone, then a validating resolver.

A resolver remembers that a name does not exist (RFC 2308), so it is never asked for a record that its zone's own
servers do not all show yet. Its AD bit says that the answer was validated (RFC 4035 section 3.2.3); that is worth
something only because the resolver is our own and reached over a path that nobody else can write to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Sequence

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.rrset

from services.dns.names import fqdn
from services.dns.ports import Answer, Holds, Sighting
from services.dns.records.model import normalise
from services.dns.records.ptr import enclosing_zone_guess
from shared.special_use import IPNetwork, refused

_TRIES = 2
_SERVERS_TTL = 60.0
_MAX_ADDRESSES = 26  # thirteen name servers, each with both families

Server = tuple[str, str]


class DnsObserver:
    """`resolvers` None: the system's. No server in `refused_networks` is asked, so that a customer's zone cannot
    make us send packets into a private network."""

    def __init__(
        self,
        resolvers: Sequence[str] | None,
        refused_networks: Sequence[IPNetwork],
        *,
        port: int = 53,
        resolver_port: int = 53,
        timeout: float = 1.5,
        parallel: int = 64,
    ) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=resolvers is None)
        if resolvers is not None:
            self._resolver.nameservers = list(resolvers)
            self._resolver.port = resolver_port
        self._resolver.lifetime = timeout * _TRIES
        self._resolver.timeout = timeout
        self._resolver.use_edns(0, dns.flags.DO, 1232)
        self._resolver.flags = dns.flags.RD | dns.flags.AD
        self._refused = refused_networks
        self._port, self._timeout = port, timeout
        self._gate = asyncio.Semaphore(parallel)
        self._servers_of: dict[str, tuple[float, tuple[Server, ...]]] = {}
        self._reverse_zones: dict[str, str] = {}

    async def look(self, zone: str | None, name: str, rdtype: str, wanted: Holds) -> Sighting:
        zone = zone or await self._reverse_zone(name)
        if zone is None:
            return Sighting(problem="The zone of this name was not found.")
        servers = await self._servers(zone)
        if not servers:
            return Sighting(problem=f"No name server of {zone} can be asked.")
        answers = await asyncio.gather(*(self._ask(server, name, rdtype) for server in servers))
        resolver = await self._ask_resolver(name, rdtype) if agreed(answers, wanted) else None
        return Sighting(tuple(answers), resolver)

    async def name_servers(self, zone: str) -> frozenset[str]:
        answer = await self._resolve(zone, "NS")
        return frozenset(fqdn(rdata.to_text()) for rdata in answer or ())

    async def text(self, name: str) -> Sequence[str]:
        answer = await self._resolve(name, "TXT")
        return [normalise("TXT", rdata.to_text()) for rdata in answer or ()]

    async def _ask(self, server: Server, name: str, rdtype: str) -> Answer:
        """One address, two tries."""
        host, address = server
        query = dns.message.make_query(name, rdtype, want_dnssec=True, payload=1232)
        query.flags &= ~dns.flags.RD
        error = "no answer"
        for _ in range(_TRIES):
            try:
                async with self._gate:
                    response, _ = await dns.asyncquery.udp_with_fallback(
                        query, address, timeout=self._timeout, port=self._port
                    )
            except dns.exception.Timeout:
                continue
            except OSError as failure:
                error = failure.strerror or "unreachable"
                break
            except dns.exception.DNSException as failure:
                error = type(failure).__name__
                continue
            return _read(response, host, address, name, rdtype)
        return Answer(host, address, error=error)

    async def _ask_resolver(self, name: str, rdtype: str) -> Answer:
        try:
            answer = await self._resolver.resolve(name, rdtype, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN as failure:
            responses = _responses(failure)
            secure = bool(responses and responses[0].flags & dns.flags.AD)
            return Answer("resolver", "", authenticated=secure)
        except dns.exception.DNSException as failure:
            return Answer("resolver", "", error=type(failure).__name__)
        response = answer.response
        secure = bool(response.flags & dns.flags.AD)
        return Answer("resolver", "", _values(answer.rrset, rdtype), secure)

    async def _resolve(self, name: str, rdtype: str) -> dns.rrset.RRset | None:
        try:
            answer = await self._resolver.resolve(name, rdtype, raise_on_no_answer=False)
        except dns.exception.DNSException:
            return None
        return answer.rrset

    async def _servers(self, zone: str) -> tuple[Server, ...]:
        """(name, address) of each authoritative server that may be asked. Found ones are kept for a minute."""
        kept = self._servers_of.get(zone)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        names = sorted(await self.name_servers(zone))
        found = await asyncio.gather(*(self._addresses(name) for name in names))
        servers = tuple(server for group in found for server in group)[:_MAX_ADDRESSES]
        if servers:
            self._servers_of[zone] = (time.monotonic() + _SERVERS_TTL, servers)
        return servers

    async def _addresses(self, server: str) -> list[Server]:
        answers = await asyncio.gather(self._resolve(server, "A"), self._resolve(server, "AAAA"))
        addresses = [rdata.to_text() for answer in answers for rdata in answer or ()]
        return [
            (server, text) for text in addresses if not refused(ipaddress.ip_address(text), self._refused)
        ]

    async def _reverse_zone(self, name: str) -> str | None:
        """The zone that holds a reverse name: the owner of the SOA that the answer for its network carries."""
        guess = enclosing_zone_guess(name)
        known = self._reverse_zones.get(guess)
        if known is not None:
            return known
        try:
            answer = await self._resolver.resolve(guess, "SOA", raise_on_no_answer=False)
            responses: list[dns.message.Message] = [answer.response]
        except dns.resolver.NXDOMAIN as failure:
            responses = _responses(failure)
        except dns.exception.DNSException:
            return None
        for response in responses:
            for rrset in (*response.answer, *response.authority):
                if rrset.rdtype == dns.rdatatype.SOA:
                    zone = fqdn(rrset.name.to_text())
                    self._reverse_zones[guess] = zone
                    return zone
        return None


def agreed(answers: Sequence[Answer], wanted: Holds) -> bool:
    """Whether each name server answered on one address at least, and every answer is what is wanted."""
    heard = {answer.server for answer in answers if answer.error is None}
    return heard == {answer.server for answer in answers} and all(
        wanted(answer.values) for answer in answers if answer.error is None
    )


def _responses(failure: dns.resolver.NXDOMAIN) -> list[dns.message.Message]:
    found = failure.kwargs.get("responses") or {}
    return list(found.values())


def _read(response: dns.message.Message, host: str, address: str, name: str, rdtype: str) -> Answer:
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return Answer(host, address, error=dns.rcode.to_text(response.rcode()))
    if not response.flags & dns.flags.AA:
        return Answer(host, address, error="not authoritative")
    owner = dns.name.from_text(name)
    wanted = dns.rdatatype.from_text(rdtype)
    rrset = next((item for item in response.answer if item.name == owner and item.rdtype == wanted), None)
    return Answer(host, address, _values(rrset, rdtype))


def _values(rrset: dns.rrset.RRset | None, rdtype: str) -> frozenset[str]:
    return frozenset(normalise(rdtype, rdata.to_text()) for rdata in rrset or ())
