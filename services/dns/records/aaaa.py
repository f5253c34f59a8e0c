"""AAAA: the mail host's IPv6 address; same rules as for A, written as in RFC 5952."""

from __future__ import annotations

import ipaddress

from services.dns.records.model import DesiredRecord


def host_address(server_id: str, hostname: str, ipv6: str) -> DesiredRecord:
    """Raises ValueError when `ipv6` is not an IPv6 address."""
    return DesiredRecord(
        name=hostname,
        type="AAAA",
        value=str(ipaddress.IPv6Address(ipv6)),
        purpose="aaaa",
        rule="RFC 5321 section 5.1",
        explanation="The IPv6 address of the mail server.",
        server_id=server_id,
    )
