"""Rows about DNS, through the given validating resolvers."""

from __future__ import annotations

from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.rdatatype
import dns.resolver

from services.provisioner.hosts.self_test.checks import CheckResult, ExpectedRecord, SelfTestTarget


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


def host_records(target: SelfTestTarget) -> list[tuple[str, str, ExpectedRecord]]:
    """(row id, plain words, record) of what every host needs."""
    fqdn = f"{target.hostname}."
    tls = target.facts.tls
    tlsa = frozenset(f"3 1 1 {digest}" for digest in (tls.current_spki_sha256, tls.next_spki_sha256))
    rows = [
        ("dns_a", "The host's name leads to its IPv4 address.", fqdn, "A", {target.ipv4}, True),
        ("dns_aaaa", "The host's name leads to its IPv6 address.", fqdn, "AAAA", {target.ipv6}, True),
        ("dns_tlsa", "TLSA names the current and the next key.", f"_25._tcp.{fqdn}", "TLSA", tlsa, True),
    ]
    for number, address in ((4, target.ipv4), (6, target.ipv6)):
        reverse = f"{ip_address(address).reverse_pointer}."
        words = f"The IPv{number} address leads back to the host's name."
        rows.append((f"dns_ptr{number}", words, reverse, "PTR", {fqdn}, target.reverse_signed))
    return [
        (row_id, words, ExpectedRecord(name=name, type=kind, values=frozenset(values), signed=signed))
        for row_id, words, name, kind, values, signed in rows
    ]


async def _row(target: SelfTestTarget, row_id: str, words: str, expected: ExpectedRecord) -> CheckResult:
    values, authenticated, error = await _ask(target, expected.name, expected.type)
    wanted = frozenset(value if expected.type == "TXT" else value.lower() for value in expected.values)
    right = wanted <= values if expected.among else wanted == values
    return CheckResult(
        id=row_id,
        layer="dns",
        ok=right and (authenticated or not expected.signed),
        evidence=f"{expected.name} {expected.type} {sorted(values)} signed={authenticated} {error}".strip(),
        words=words,
    )


async def names(target: SelfTestTarget) -> list[CheckResult]:
    """The host's own records, then those that the caller expects besides."""
    rows = [await _row(target, *entry) for entry in host_records(target)]
    for record in target.expected_records:
        row_id = f"dns_{record.type.lower()}_{record.name.rstrip('.')}"
        rows.append(
            await _row(target, row_id, f"{record.name} has the {record.type} records it needs.", record)
        )
    return rows
