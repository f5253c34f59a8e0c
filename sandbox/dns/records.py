"""Record sets as the tree takes and gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype


class InvalidRecord(ValueError):
    """A name, type or value that no zone file would take; the message says which."""


@dataclass(frozen=True)
class RecordSet:
    """All records of one name and type (RFC 2181 section 5). No values = the set is to be removed.

    ``name`` is absolute, lower case, with the dot at the end; ``values`` are in presentation format with
    absolute names (``10 mx.example.test.``), TXT strings quoted.
    """

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int = 60


def absolute(name: str) -> str:
    """`name` lower-cased with its final dot. Raises InvalidRecord."""
    try:
        parsed = dns.name.from_text(name if name.endswith(".") else f"{name}.")
    except dns.exception.DNSException as error:
        raise InvalidRecord(f"{name!r} is not a domain name: {error}") from error
    return parsed.to_text().lower()


def checked(name: str, kind: str, values: Sequence[str], ttl: int) -> RecordSet:
    """A record set whose values were parsed as `kind` (RFC 1035 section 5.1). Raises InvalidRecord."""
    try:
        rdtype = dns.rdatatype.from_text(kind)
        parsed = [
            dns.rdata.from_text(dns.rdataclass.IN, rdtype, v, origin=None, relativize=False) for v in values
        ]
    except (dns.exception.DNSException, ValueError) as error:
        raise InvalidRecord(f"{name} {kind}: {error}") from error
    if ttl < 0:
        raise InvalidRecord(f"{name} {kind}: a TTL is not negative")
    return RecordSet(absolute(name), kind.upper(), tuple(each.to_text() for each in parsed), ttl)


def reverse_name(address: IPv4Address | IPv6Address) -> str:
    """The name below in-addr.arpa or ip6.arpa, with the dot at the end (RFC 1035 3.5, RFC 3596 2.5)."""
    return f"{address.reverse_pointer}."
