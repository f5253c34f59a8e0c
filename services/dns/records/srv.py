"""SRV records by which mail clients find the server (RFC 6186 section 3, RFC 8314 section 5.1). A service that is
deliberately not offered has the target `.` (RFC 2782): the plain-text ones."""

from __future__ import annotations

from services.dns.records.model import DesiredRecord

_OFFERED = (("_submissions._tcp", 465, "sending"), ("_imaps._tcp", 993, "reading"))
_NOT_OFFERED = ("_imap._tcp", "_pop3._tcp")


def client_services(server_id: str, domain_id: str, domain: str, hostname: str) -> list[DesiredRecord]:
    offered = [
        _record(
            server_id,
            domain_id,
            domain,
            service,
            f"0 1 {port} {hostname}",
            f"Mail clients find {what} by it.",
        )
        for service, port, what in _OFFERED
    ]
    refused = [
        _record(
            server_id,
            domain_id,
            domain,
            service,
            "0 0 0 .",
            "Says that this unencrypted service is not offered.",
        )
        for service in _NOT_OFFERED
    ]
    return offered + refused


def _record(
    server_id: str, domain_id: str, domain: str, service: str, value: str, explanation: str
) -> DesiredRecord:
    return DesiredRecord(
        name=f"{service}.{domain}",
        type="SRV",
        value=value,
        purpose="srv" + service.split(".", 1)[0].replace("_", "-"),
        rule="RFC 6186 section 3",
        explanation=explanation,
        server_id=server_id,
        domain_id=domain_id,
        required=False,
    )
