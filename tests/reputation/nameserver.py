"""An authoritative DNS server on loopback whose lists behave as real ones have been seen to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rrset

TEST_POINT = "2.0.0.127"
NEVER_LISTED = "1.0.0.127"
TEST_POINT_6 = "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20


class Silent(Exception):
    """No answer at all."""


class Failing(Exception):
    """An rcode other than NOERROR and NXDOMAIN."""


Zone = Callable[[str], list[str] | None]
"""Reversed address → A records; None is NXDOMAIN, an empty list NODATA."""


def sound(*codes: str) -> Zone:
    """Its test points are right, and it answers `codes` for everything else."""

    def zone(reversed_address: str) -> list[str] | None:
        if reversed_address in (TEST_POINT, TEST_POINT_6):
            return ["127.0.0.2"]
        if reversed_address == NEVER_LISTED or reversed_address.startswith("1.0.0.0.0.0.f.7.f.f.f.f"):
            return None
        return list(codes) or None

    return zone


def always(*codes: str) -> Zone:
    return lambda _: list(codes) or None


def failing(rcode: str) -> Zone:
    def zone(_: str) -> list[str] | None:
        raise Failing(rcode)

    return zone


def silent(_: str) -> list[str] | None:
    raise Silent


def no_data(reversed_address: str) -> list[str] | None:
    return ["127.0.0.2"] if reversed_address == TEST_POINT else []


def white_everywhere(reversed_address: str) -> list[str] | None:
    return ["127.0.0.2"] if reversed_address == TEST_POINT else ["127.0.0.1"]


class NameServer(asyncio.DatagramProtocol):
    """`zones` may be changed while it runs; `queries` counts what was asked, by zone."""

    def __init__(self, zones: dict[str, Zone], texts: dict[str, str] | None = None) -> None:
        self.zones = zones
        self.texts = texts or {}
        self.queries: list[str] = []
        self.address = ""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        host, port = transport.get_extra_info("sockname")[:2]
        self.address = f"{host}@{port}"

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        response = self.respond(dns.message.from_wire(data))
        if response is not None and self._transport is not None:
            self._transport.sendto(response.to_wire(), addr)

    def respond(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        self.queries.append(name)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        zone = next((each for each in self.zones if name.endswith("." + each)), None)
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return response
        try:
            codes = self.zones[zone](name.removesuffix("." + zone))
        except Silent:
            return None
        except Failing as failure:
            response.set_rcode(dns.rcode.from_text(str(failure)))
            return response
        if codes is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif codes and question.rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", *codes))
        elif codes and zone in self.texts:
            response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "TXT", self.texts[zone]))
        return response


@asynccontextmanager
async def serving(zones: dict[str, Zone], texts: dict[str, str] | None = None) -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(zones, texts), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
