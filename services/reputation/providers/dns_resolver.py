"""DNS queries by dnspython to the configured resolvers: one try each in turn, twice, TCP when truncated."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from services.reputation.ports import Answer, NoAnswer

TRIES = 2
CONCURRENT = 40


@dataclass(frozen=True)
class ResolverAddress:
    """`198.51.100.3` or `198.51.100.3@5353`."""

    host: str
    port: int = 53

    @classmethod
    def parse(cls, text: str) -> ResolverAddress:
        host, _, port = text.partition("@")
        return cls(host, int(port or 53))


class DnsResolver:
    """Asks recursive resolvers. The system's are used when none are configured."""

    def __init__(self, addresses: list[str] | None, *, timeout: float = 1.0) -> None:
        texts = addresses or [str(server) for server in dns.asyncresolver.Resolver().nameservers]
        self._servers = [ResolverAddress.parse(text) for text in texts]
        self._timeout = timeout
        self._slots = asyncio.Semaphore(CONCURRENT)

    async def query(self, name: str, record_type: str) -> Answer:
        message = dns.message.make_query(dns.name.from_text(name), dns.rdatatype.from_text(record_type))
        message.flags |= dns.flags.RD
        servers = random.sample(self._servers, len(self._servers))
        async with self._slots:
            for number in range(TRIES * len(servers)):
                server = servers[number % len(servers)]
                try:
                    response, _ = await dns.asyncquery.udp_with_fallback(
                        message, server.host, timeout=self._timeout, port=server.port, ignore_unexpected=True
                    )
                except (dns.exception.DNSException, OSError, EOFError):
                    continue
                return _answer(response, dns.rdatatype.from_text(record_type))
        raise NoAnswer


def _answer(response: dns.message.Message, kind: dns.rdatatype.RdataType) -> Answer:
    records = []
    for rrset in response.answer:
        if rrset.rdtype == kind:
            for item in rrset:
                strings = getattr(item, "strings", None)
                text = b"".join(strings).decode("utf-8", "replace") if strings is not None else item.to_text()
                records.append(text)
    return Answer(dns.rcode.to_text(response.rcode()), tuple(records))
