"""MTA-STS (RFC 8461): the `_mta-sts` TXT announces a policy that is fetched over HTTPS from `mta-sts.<domain>`.
The policy file is there before a new id announces it (section 3.1)."""

from __future__ import annotations

import re

from services.dns.records.model import DesiredRecord

_ID = re.compile(r"[A-Za-z0-9]{1,32}")


def announcement(server_id: str, domain_id: str, domain: str, policy_id: str) -> DesiredRecord:
    """Raises ValueError when `policy_id` is not 1 to 32 letters and digits."""
    if not _ID.fullmatch(policy_id):
        raise ValueError("An MTA-STS id is 1 to 32 letters and digits.")
    return DesiredRecord(
        name=f"_mta-sts.{domain}",
        type="TXT",
        value=f"v=STSv1; id={policy_id}",
        purpose="mta-sts",
        rule="RFC 8461 section 3.1",
        explanation="Tells senders that the domain has a TLS policy, and when it changed (MTA-STS).",
        server_id=server_id,
        domain_id=domain_id,
    )


def policy_host(server_id: str, domain_id: str, domain: str, hostname: str) -> DesiredRecord:
    return DesiredRecord(
        name=f"mta-sts.{domain}",
        type="CNAME",
        value=hostname,
        purpose="mta-sts-host",
        rule="RFC 8461 section 3.3",
        explanation="Where the TLS policy is fetched from: the mail server serves it.",
        server_id=server_id,
        domain_id=domain_id,
    )
