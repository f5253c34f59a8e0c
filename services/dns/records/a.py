"""A: the mail host's IPv4 address. Forward and reverse must confirm each other (RFC 1912 section 2.1, RFC 8601
section 2.7.3), so there is exactly one per host name."""

from __future__ import annotations

import ipaddress

from services.dns.records.model import DesiredRecord


def host_address(server_id: str, hostname: str, ipv4: str) -> DesiredRecord:
    """Raises ValueError when `ipv4` is not an IPv4 address."""
    return DesiredRecord(
        name=hostname,
        type="A",
        value=str(ipaddress.IPv4Address(ipv4)),
        purpose="a",
        rule="RFC 5321 section 5.1",
        explanation="The IPv4 address of the mail server.",
        server_id=server_id,
    )
