"""CAA (RFC 8659 section 4): which authorities may issue certificates for the host name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.dns.records.model import DesiredRecord

_ISSUER = re.compile(r"[a-z0-9.-]+(?:; ?[a-z]+=[!-:<-~]+)*")


def issuers(server_id: str, hostname: str, authorities: Sequence[str]) -> list[DesiredRecord]:
    """`authorities` are issuer domain names, with parameters of RFC 8657 if wanted. No authority, no record."""
    for authority in authorities:
        if not _ISSUER.fullmatch(authority) or '"' in authority:
            raise ValueError(f"{authority!r} is not a CAA issuer.")
    return [
        DesiredRecord(
            name=hostname,
            type="CAA",
            value=f'0 issue "{authority}"',
            purpose="caa",
            rule="RFC 8659 section 4.2",
            explanation=f"Only {authority.split(';')[0]} may issue certificates for the mail server.",
            server_id=server_id,
        )
        for authority in authorities
    ]
