"""SMTP TLS reporting (RFC 8460 section 3): where senders report that TLS to the domain failed."""

from __future__ import annotations

from services.dns.records.model import DesiredRecord


def reporting(server_id: str, domain_id: str, domain: str, hostname: str) -> DesiredRecord:
    return DesiredRecord(
        name=f"_smtp._tls.{domain}",
        type="TXT",
        value=f"v=TLSRPTv1; rua=mailto:tlsrpt@{hostname}",
        purpose="tls-rpt",
        rule="RFC 8460 section 3",
        explanation="Senders report failed TLS connections to us (TLS-RPT).",
        server_id=server_id,
        domain_id=domain_id,
    )
