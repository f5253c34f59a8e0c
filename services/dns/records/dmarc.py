"""DMARC (RFC 9989, reports RFC 9990). Only tags that the current text knows: `pct`, `rf` and `ri` are gone.
A name has one DMARC record; two count as none (section 4.7), so a foreign one is a conflict."""

from __future__ import annotations

from typing import Literal

from services.dns.records.model import DesiredRecord

Policy = Literal["none", "quarantine", "reject"]


def is_dmarc(value: str) -> bool:
    return value.replace(" ", "").lower().startswith("v=dmarc1")


def policy(server_id: str, domain_id: str, domain: str, hostname: str, wanted: Policy) -> DesiredRecord:
    """`p` comes second, where readers of the older text expect it."""
    return DesiredRecord(
        name=f"_dmarc.{domain}",
        type="TXT",
        value=f"v=DMARC1; p={wanted}; rua=mailto:dmarc@{hostname}",
        purpose="dmarc",
        rule="RFC 9989 section 4.7",
        explanation=f"Mail that fails SPF and DKIM is to be treated as '{wanted}'; reports come to us (DMARC).",
        server_id=server_id,
        domain_id=domain_id,
    )


def report_authorisation(server_id: str, hostname: str) -> DesiredRecord:
    """Lets any of the host's domains send its reports to the host name (RFC 9990: external destinations)."""
    return DesiredRecord(
        name=f"*._report._dmarc.{hostname}",
        type="TXT",
        value="v=DMARC1",
        purpose="dmarc-report",
        rule="RFC 9990 section 4",
        explanation="The mail server accepts DMARC reports for the domains it hosts.",
        server_id=server_id,
    )
