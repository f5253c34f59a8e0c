"""Rows about DNS, through the given validating resolvers."""

from __future__ import annotations

from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.rdatatype
import dns.resolver

from services.provisioner.hosts.self_test.checks import CheckResult, ExpectedRecord, SelfTestTarget
from services.provisioner.hosts.self_test.rows import row


def _resolver(target: SelfTestTarget) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = list(target.resolvers)
    resolver.lifetime = target.timeout_seconds
    resolver.use_edns(0, dns.flags.DO, 1232)
    resolver.flags = dns.flags.RD | dns.flags.AD
    return resolver


async def _ask(target: SelfTestTarget, name: str, kind: str) -> tuple[frozenset[str], bool, str]:
    """(values, authenticated, error text)."""
    try:
        answer = await _resolver(target).resolve(name, kind, raise_on_no_answer=False)
    except dns.exception.DNSException as error:
        return frozenset(), False, f"{type(error).__name__}: {error}"
    values = {_text(kind, record) for record in answer.rrset or ()}
    return frozenset(values), bool(answer.response.flags & dns.flags.AD), ""


def _text(kind: str, record: object) -> str:
    if kind == "TXT":
        return b"".join(record.strings).decode(errors="replace")  # type: ignore[attr-defined]
    return str(record).lower()


def host_records(target: SelfTestTarget) -> list[tuple[str, ExpectedRecord]]:
    """(row id, record) of what every host needs."""
    fqdn = f"{target.hostname}."
    tls = target.facts.tls
    digests = frozenset(f"3 1 1 {digest}" for digest in (tls.current_spki_sha256, tls.next_spki_sha256))
    rows = [
        ("dns_a", ExpectedRecord(name=fqdn, type="A", values=frozenset({target.ipv4}))),
        ("dns_aaaa", ExpectedRecord(name=fqdn, type="AAAA", values=frozenset({target.ipv6}))),
        ("dns_tlsa", ExpectedRecord(name=f"_25._tcp.{fqdn}", type="TLSA", values=digests)),
    ]
    for row_id, address in (("dns_ptr4", target.ipv4), ("dns_ptr6", target.ipv6)):
        reverse = f"{ip_address(address).reverse_pointer}."
        pointer = ExpectedRecord(
            name=reverse, type="PTR", values=frozenset({fqdn}), signed=target.reverse_signed
        )
        rows.append((row_id, pointer))
    return rows


async def _seen(target: SelfTestTarget, expected: ExpectedRecord) -> tuple[bool, str]:
    """(as expected, evidence)."""
    values, authenticated, error = await _ask(target, expected.name, expected.type)
    wanted = frozenset(value if expected.type == "TXT" else value.lower() for value in expected.values)
    right = wanted <= values if expected.among else wanted == values
    evidence = f"{expected.name} {expected.type} {sorted(values)} signed={authenticated} {error}".strip()
    return right and (authenticated or not expected.signed), evidence[:4000]


async def names(target: SelfTestTarget) -> list[CheckResult]:
    """The host's own records, then those that the caller expects besides."""
    rows = []
    for row_id, record in host_records(target):
        ok, evidence = await _seen(target, record)
        rows.append(row(row_id, ok=ok, evidence=evidence))
    for record in target.expected_records:
        ok, evidence = await _seen(target, record)
        row_id = f"dns_{record.type.lower()}_{record.name.rstrip('.')}"
        words = f"{record.name.rstrip('.')} has the {record.type} records that it needs."
        rows.append(CheckResult(id=row_id, layer="dns", ok=ok, evidence=evidence, words=words))
    return rows
