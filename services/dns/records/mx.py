"""MX: where mail for the domain goes. The target has addresses of its own and is never an alias (RFC 5321
section 5.1, RFC 2181 section 10.3). Another MX beside ours would split the mail, so a foreign one is a conflict."""

from __future__ import annotations

from services.dns.records.model import DesiredRecord

PREFERENCE = 10


def mail_exchanger(server_id: str, domain_id: str, domain: str, hostname: str) -> DesiredRecord:
    return DesiredRecord(
        name=domain,
        type="MX",
        value=f"{PREFERENCE} {hostname}",
        purpose="mx",
        rule="RFC 5321 section 5.1",
        explanation="Mail for the domain is delivered to its mail server.",
        server_id=server_id,
        domain_id=domain_id,
    )
