"""PTR: what the address says of itself. It is set at the cloud, not by this service, and only checked here: the name
in the reverse tree and in the forward one must confirm each other (RFC 1912 section 2.1)."""

from __future__ import annotations

import ipaddress

from services.dns.records.model import DesiredRecord


def pointer(server_id: str, address: str, hostname: str) -> DesiredRecord:
    """Raises ValueError when `address` is not an IP address."""
    parsed = ipaddress.ip_address(address)
    return DesiredRecord(
        name=parsed.reverse_pointer,
        type="PTR",
        value=hostname,
        purpose=f"ptr-{parsed.version}",
        rule="RFC 8601 section 2.7.3",
        explanation="The address points back to the name of the mail server.",
        server_id=server_id,
    )


def enclosing_zone_guess(reverse_name: str) -> str:
    """The name to ask for the zone of a reverse name: /24 for IPv4, /64 for IPv6. The name itself is not asked
    for, since a resolver would remember that it does not exist (RFC 2308)."""
    labels = reverse_name.split(".")
    return ".".join(labels[1:] if reverse_name.endswith("in-addr.arpa") else labels[16:])
