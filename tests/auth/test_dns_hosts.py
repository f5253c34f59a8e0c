"""Addresses of webhooks' hosts, asked of a real name server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from services.auth.providers.dns_hosts import DnsHosts
from shared.http.public import Unreachable

RECORDS = {
    ("both.customer.com.", "A"): ["192.0.2.1", "192.0.2.2"],
    ("both.customer.com.", "AAAA"): ["2001:db8::1"],
    ("four.customer.com.", "A"): ["192.0.2.4"],
    ("none.customer.com.", "TXT"): ["x"],
}


class NameServer(asyncio.DatagramProtocol):
    """Answers from `RECORDS`; fails for AAAA of `half.customer.com`."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.add(name)
        answer = dns.message.make_response(query)
        if name == "half.customer.com." and kind == "AAAA":
            answer.set_rcode(dns.rcode.REFUSED)
        elif found := RECORDS.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
        elif not any(known == name for known, _ in RECORDS) and not name.startswith("half."):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def asking() -> AsyncIterator[tuple[DnsHosts, NameServer]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    try:
        yield DnsHosts(["127.0.0.1"], port=transport.get_extra_info("sockname")[1]), server
    finally:
        transport.close()


async def test_all_addresses_of_both_families_are_found_the_older_first() -> None:
    async with asking() as (hosts, server):
        found = [str(address) for address in await hosts.addresses("both.customer.com")]
        assert sorted(found[:2]) == ["192.0.2.1", "192.0.2.2"]
        assert found[2:] == ["2001:db8::1"]
        assert [str(address) for address in await hosts.addresses("four.customer.com")] == ["192.0.2.4"]
        assert await hosts.addresses("none.customer.com") == []
        assert server.asked == {f"{name}.customer.com." for name in ("both", "four", "none")}, (
            "no search list"
        )


@pytest.mark.parametrize(
    ("host", "reason"),
    [("no.such.name.com", "does not exist"), ("half.customer.com", "could not be resolved")],
)
async def test_what_cannot_be_told_for_certain_is_no_answer(host: str, reason: str) -> None:
    """Half an answer could hide the inner address among others."""
    async with asking() as (hosts, _):
        with pytest.raises(Unreachable, match=reason):
            await hosts.addresses(host)
