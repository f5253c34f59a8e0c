"""The one form in which this service compares records, whoever they come from.

`value` is RFC 1035 presentation format after normalisation: names lower-case without trailing dot (the root is `.`),
hexadecimal lower-case, addresses compressed (RFC 5952), and the character-strings of a TXT record joined without
quotes, as SPF, DKIM and DMARC read them. Equal values mean equal records, however they were written.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from services.dns.names import fqdn

AUTOMATIC_TTL = 1
"""Cloudflare's word for "you choose", which is 300 s."""


@dataclass(frozen=True, slots=True)
class DesiredRecord:
    """A record that has to exist. `purpose` names its job within its owner; `rule` is the text that asks for it.

    `server_id` and `domain_id` say whose it is (`domain_id` None: the host's own). A record that is not `required`
    may be missing because of a conflict without holding the domain back.
    """

    name: str
    type: str
    value: str
    purpose: str
    rule: str
    explanation: str
    server_id: str
    domain_id: str | None = None
    required: bool = True
    ttl: int = AUTOMATIC_TTL

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.type

    @property
    def mark(self) -> str:
        """The beginning of the comment that says at the provider whose record this is."""
        return f"sendchief:v1:{self.server_id}:{self.purpose}"


@dataclass(frozen=True, slots=True)
class ActualRecord:
    """A record as the provider lists it, with its id there."""

    id: str
    name: str
    type: str
    value: str
    ttl: int = AUTOMATIC_TTL
    proxied: bool = False
    comment: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.type


@dataclass(frozen=True, slots=True)
class Owned:
    """A record that we wrote: its id at the provider, what we wrote, and the comment that marks it.

    `merged`: the record is the customer's, and `value` is only the part of it that is ours (an SPF mechanism).
    """

    provider_record_id: str
    name: str
    type: str
    value: str
    purpose: str
    server_id: str
    domain_id: str | None
    comment: str
    merged: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.type


def same_ttl(one: int, other: int) -> bool:
    """Automatic and 300 s are the same thing."""
    return (300 if one == AUTOMATIC_TTL else one) == (300 if other == AUTOMATIC_TTL else other)


_NAME_TYPES = frozenset({"CNAME", "NS", "PTR"})
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def normalise(rdtype: str, text: str) -> str:
    """Canonical value of presentation-format `text`. Types that we never write come back stripped, unchanged.

    Text that does not parse as its type is kept as it is: it then differs from anything that we would write.
    """
    try:
        return _normalise(rdtype, text.strip())
    except (ValueError, IndexError):
        return text.strip()


def _normalise(rdtype: str, text: str) -> str:
    if rdtype in {"A", "AAAA"}:
        return str(ipaddress.ip_address(text))
    if rdtype in _NAME_TYPES:
        return fqdn(text)
    if rdtype == "MX":
        preference, exchange = text.split()
        return f"{int(preference)} {fqdn(exchange)}"
    if rdtype == "TXT":
        return join_strings(text)
    if rdtype == "SRV":
        priority, weight, port, target = text.split()
        return f"{int(priority)} {int(weight)} {int(port)} {fqdn(target)}"
    if rdtype == "TLSA":
        usage, selector, matching, *digest = text.split()
        return f"{int(usage)} {int(selector)} {int(matching)} {''.join(digest).lower()}"
    if rdtype == "CAA":
        flags, tag, value = text.split(None, 2)
        return f'{int(flags)} {tag.lower()} "{join_strings(value)}"'
    return text


def join_strings(text: str) -> str:
    """The data of a TXT record: quoted character-strings joined without a space (RFC 7208 section 3.3).

    Text without quotes is one string as it stands. The result has one character per octet (Latin-1), so that
    `\\195\\169` and a raw UTF-8 `é` are the same.
    """
    text = text.encode("utf-8").decode("latin-1")
    parts = list(_QUOTED.finditer(text))
    if not parts or _QUOTED.sub("", text).strip():
        return text
    return "".join(_ESCAPE.sub(_unescape, part.group(1)) for part in parts)


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code)) if len(code) == 3 and code.isdigit() else code


def quote_strings(value: str, limit: int = 255) -> str:
    """`value`, one character per octet, as quoted strings of at most `limit` octets (RFC 1035 section 3.3)."""
    raw = value.encode("latin-1")
    chunks = [raw[start : start + limit] for start in range(0, len(raw), limit)] or [b""]
    return " ".join('"' + "".join(_escape(octet) for octet in chunk) + '"' for chunk in chunks)


def _escape(octet: int) -> str:
    if octet in b'"\\':
        return "\\" + chr(octet)
    return chr(octet) if 0x20 <= octet < 0x7F else f"\\{octet:03d}"


def presentation(record: DesiredRecord) -> str:
    """What a person would type into a zone file."""
    return quote_strings(record.value) if record.type == "TXT" else record.value


def with_value(record: DesiredRecord, value: str) -> DesiredRecord:
    return replace(record, value=value)
