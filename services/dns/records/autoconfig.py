"""`autoconfig.` and `autodiscover.`: the names at which mail clients ask for their settings (Mozilla autoconfiguration,
Microsoft Autodiscover). The mail server answers there; a customer who uses such a name otherwise keeps it."""

from __future__ import annotations

from services.dns.records.model import DesiredRecord


def client_configuration(server_id: str, domain_id: str, domain: str, hostname: str) -> list[DesiredRecord]:
    return [
        DesiredRecord(
            name=f"{label}.{domain}",
            type="CNAME",
            value=hostname,
            purpose=label,
            rule=rule,
            explanation="Mail clients fetch their settings there.",
            server_id=server_id,
            domain_id=domain_id,
            required=False,
        )
        for label, rule in (
            ("autoconfig", "Mozilla autoconfiguration"),
            ("autodiscover", "Microsoft Autodiscover"),
        )
    ]
