"""SPF (RFC 7208): who may send for a name. A name has exactly one such record (section 3.2), so ours is merged into
one that is there, before its `all`, and never added beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.dns.names import fqdn
from services.dns.records.model import DesiredRecord

LOOKUP_LIMIT = 10  # section 4.6.4
_LOOKUP_MECHANISMS = frozenset({"include", "a", "mx", "ptr", "exists"})
_QUALIFIERS = "+-~?"


class SpfTooManyLookups(ValueError):
    """The merged record would need more than ten DNS look-ups and be ignored by receivers as an error."""


def is_spf(value: str) -> bool:
    """Whether TXT data is an SPF record: the version is followed by a space or by nothing (section 4.5)."""
    return value.lower() == "v=spf1" or value.lower().startswith("v=spf1 ")


def sender_policy(server_id: str, domain_id: str, domain: str, hostname: str) -> DesiredRecord:
    """Names the host instead of its addresses: costs one look-up, and stays true when an address changes."""
    return DesiredRecord(
        name=domain,
        type="TXT",
        value=f"v=spf1 {mechanism(hostname)} -all",
        purpose="spf",
        rule="RFC 7208 section 3",
        explanation="Only the mail server may send for the domain (SPF).",
        server_id=server_id,
        domain_id=domain_id,
    )


def host_policy(server_id: str, hostname: str) -> DesiredRecord:
    """For the HELO name (section 2.3): bounces have no other sender to check."""
    return DesiredRecord(
        name=hostname,
        type="TXT",
        value="v=spf1 a -all",
        purpose="host-spf",
        rule="RFC 7208 section 2.3",
        explanation="Only the mail server itself may use its host name as a sender (SPF).",
        server_id=server_id,
    )


def mechanism(hostname: str) -> str:
    return f"a:{hostname}"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a record: `qualifier` is empty when not written, `separator` is `:`, `=`, `/` or empty, and
    `argument` is what follows it."""

    text: str
    qualifier: str
    name: str
    separator: str
    argument: str

    @property
    def is_modifier(self) -> bool:
        """`name=value` (section 6), as against the mechanisms of section 5."""
        return self.separator == "="


def terms(record: str) -> list[Term]:
    """The terms after the version."""
    return [_term(text) for text in record.split()[1:]]


def _term(text: str) -> Term:
    qualifier = text[0] if text[0] in _QUALIFIERS else ""
    body = text[len(qualifier) :]
    end = next((at for at, letter in enumerate(body) if letter in ":=/"), len(body))
    return Term(text, qualifier, body[:end].lower(), body[end : end + 1], body[end + 1 :])


def has_mechanism(record: str, hostname: str) -> bool:
    """Whether the record already lets `hostname` send, by a mechanism written for it."""
    return any(_is_ours(term, hostname) for term in terms(record))


def _is_ours(term: Term, hostname: str) -> bool:
    return (
        term.name == "a"
        and term.separator == ":"
        and term.qualifier in ("", "+")
        and fqdn(term.argument) == hostname
    )


def merge(record: str, hostname: str, includes: Mapping[str, str] | None = None) -> str:
    """`record` with our mechanism before its `all` (terms after `all` are never looked at, section 5.1), or before
    its modifiers when it has none. `includes` maps included names to their own records, for the count.

    Raises `SpfTooManyLookups`.
    """
    if has_mechanism(record, hostname):
        return record
    present = terms(record)
    place = next(
        (at for at, term in enumerate(present) if term.name == "all" or term.is_modifier), len(present)
    )
    parts = [term.text for term in present]
    merged = " ".join([record.split()[0], *parts[:place], mechanism(hostname), *parts[place:]])
    if lookups(merged, includes or {}) > LOOKUP_LIMIT:
        raise SpfTooManyLookups(f"The merged SPF record would need more than {LOOKUP_LIMIT} DNS look-ups.")
    return merged


def unmerge(record: str, hostname: str) -> str:
    """`record` without our mechanism; everything else stays as it is."""
    kept = [term.text for term in terms(record) if not _is_ours(term, hostname)]
    return " ".join([record.split()[0], *kept])


def lookups(record: str, includes: Mapping[str, str], _depth: int = 0) -> int:
    """DNS look-ups that evaluating `record` may cost (section 4.6.4): each include, a, mx, ptr, exists and redirect,
    and what the included records cost in turn. An include that is not in the mapping costs its own look-up only."""
    total = 0
    for term in terms(record):
        if term.name in _LOOKUP_MECHANISMS or term.name == "redirect":
            total += 1
        if term.name in {"include", "redirect"} and _depth < LOOKUP_LIMIT:
            inner = includes.get(fqdn(term.argument))
            total += lookups(inner, includes, _depth + 1) if inner else 0
    return total


def included_names(record: str) -> list[str]:
    """Names whose SPF records have to be known for the count. Names with macros (section 7) cannot be."""
    return [
        fqdn(term.argument)
        for term in terms(record)
        if term.name in {"include", "redirect"} and term.argument and "%" not in term.argument
    ]
