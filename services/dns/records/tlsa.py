"""TLSA `3 1 1` (RFC 7672 section 3.1.1): SHA-256 of the public key, always two of them, the current key's and the
next one's, so that a new certificate is never ahead of DNS (RFC 7671 section 8.1). Useless in an unsigned zone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.dns.records.model import DesiredRecord

_SHA256 = re.compile(r"[0-9a-f]{64}")


def certificate_associations(
    server_id: str, hostname: str, digests: Sequence[str], port: int = 25
) -> list[DesiredRecord]:
    """One record per distinct digest. Raises ValueError for one that is not SHA-256 in lower-case hex."""
    for digest in digests:
        if not _SHA256.fullmatch(digest):
            raise ValueError("A TLSA digest is 64 lower-case hexadecimal digits.")
    return [
        DesiredRecord(
            name=f"_{port}._tcp.{hostname}",
            type="TLSA",
            value=f"3 1 1 {digest}",
            purpose=f"tlsa-{port}",
            rule="RFC 7672 section 3.1.1",
            explanation="Senders may trust exactly this key of the mail server (DANE).",
            server_id=server_id,
        )
        for digest in dict.fromkeys(digests)
    ]
