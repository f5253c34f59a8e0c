"""The whole sets: what a mail host needs in our zone, what a sending domain needs in its owner's."""

from __future__ import annotations

from collections.abc import Sequence

from services.dns.records import (
    a,
    aaaa,
    autoconfig,
    caa,
    dkim,
    dmarc,
    mta_sts,
    mx,
    ptr,
    spf,
    srv,
    tls_rpt,
    tlsa,
)
from services.dns.records.model import DesiredRecord
from shared.contracts.provisioner_events import DomainDesired, ServerDnsDesired


def host_records(wanted: ServerDnsDesired, authorities: Sequence[str]) -> list[DesiredRecord]:
    """Records of the host name, all in the platform's zone. Raises ValueError for values that make no sense."""
    server, host = wanted.server_id, wanted.hostname
    records: list[DesiredRecord] = []
    if wanted.ipv4 is not None:
        records.append(a.host_address(server, host, wanted.ipv4))
    if wanted.ipv6 is not None:
        records.append(aaaa.host_address(server, host, wanted.ipv6))
    records += tlsa.certificate_associations(server, host, wanted.tlsa_spki_sha256)
    records.append(spf.host_policy(server, host))
    records.append(dmarc.report_authorisation(server, host))
    records += caa.issuers(server, host, authorities)
    return records


def domain_records(server_id: str, hostname: str, domain: DomainDesired) -> list[DesiredRecord]:
    """Records of one sending domain. Raises ValueError for values that make no sense."""
    own, name = domain.domain_id, domain.name
    return [
        mx.mail_exchanger(server_id, own, name, hostname),
        spf.sender_policy(server_id, own, name, hostname),
        *(
            dkim.public_key(server_id, own, name, key.selector, key.algorithm, key.public_key)
            for key in domain.dkim
        ),
        dmarc.policy(server_id, own, name, hostname, domain.dmarc_policy),
        mta_sts.announcement(server_id, own, name, domain.mta_sts_id),
        mta_sts.policy_host(server_id, own, name, hostname),
        tls_rpt.reporting(server_id, own, name, hostname),
        *srv.client_services(server_id, own, name, hostname),
        *autoconfig.client_configuration(server_id, own, name, hostname),
    ]


def reverse_records(wanted: ServerDnsDesired) -> list[DesiredRecord]:
    """What the reverse tree has to say; written by nobody here."""
    return [
        ptr.pointer(wanted.server_id, address, wanted.hostname)
        for address in (wanted.ipv4, wanted.ipv6)
        if address is not None
    ]
