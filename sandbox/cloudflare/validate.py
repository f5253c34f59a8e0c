"""What a DNS record must look like to be taken, type by type, and how it reads back afterwards.

Source: https://developers.cloudflare.com/api/resources/dns/subresources/records/ ; codes as recorded or, where no
recording shows them, in the 9xxx range below 1004 "DNS Validation Error".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

from sandbox.cloudflare import txt
from sandbox.cloudflare.envelope import MISSING_DATA_FIELD, ApiError, Detail, invalid

Record = dict[str, Any]

TTL_AUTOMATIC = 1
TTL_MIN, TTL_MAX = 60, 86_400
COMMENT_MAX = 100
PROXIABLE = frozenset({"A", "AAAA", "CNAME"})
# Types whose content is made of `data`; `content` in a request is ignored for them.
STRUCTURED: dict[str, tuple[str, ...]] = {
    "TLSA": ("usage", "selector", "matching_type", "certificate"),
    "SRV": ("priority", "weight", "port", "target"),
    "CAA": ("flags", "tag", "value"),
    "DS": ("key_tag", "algorithm", "digest_type", "digest"),
}
INPUT_FIELDS = frozenset(
    {"id", "name", "type", "content", "data", "priority", "ttl", "proxied", "comment", "tags", "settings"}
)
_LABEL = re.compile(r"^(\*|[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)$")


def normalise(body: Any, zone: str) -> Record:
    """The fields of a complete record (POST, PUT, or an existing one with a PATCH laid over it) as they read back.

    `zone` without final dot. Raises ApiError.
    """
    if not isinstance(body, dict):
        raise invalid(9207, "Request body is invalid.")
    unknown = sorted(set(body) - INPUT_FIELDS)
    if unknown:
        raise invalid(9207, f"Request body is invalid: unknown field {unknown[0]}.")
    kind = str(body.get("type") or "").upper()
    if kind not in CHECKS:
        raise invalid(9002, f"Invalid record type: {kind or '(none)'}.")
    name = record_name(body.get("name"), zone)
    record: Record = {"name": name, "type": kind}
    record |= CHECKS[kind](body, name, zone)
    record["proxiable"] = kind in PROXIABLE
    record["proxied"] = _proxied(body, kind)
    record["ttl"] = TTL_AUTOMATIC if record["proxied"] else _ttl(body.get("ttl", TTL_AUTOMATIC))
    record["settings"] = body.get("settings") or {}
    record["comment"] = _comment(body.get("comment"))
    record["tags"] = _tags(body.get("tags"))
    return record


def record_name(value: Any, zone: str) -> str:
    """Full name, lower case, no final dot; ``@`` and relative names are completed with the zone."""
    if not isinstance(value, str) or not value.strip():
        raise invalid(9000, "DNS name is invalid.")
    name = value.strip().lower().rstrip(".")
    if name == "@":
        name = zone
    elif name != zone and not name.endswith(f".{zone}"):
        name = f"{name}.{zone}"
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.match(label) for label in labels) or "*" in labels[1:]:
        raise invalid(9000, "DNS name is invalid.")
    return name


def _host(value: Any, kind: str) -> str:
    if value == "." and kind in ("MX", "SRV"):
        return "."
    name = value.strip().lower().rstrip(".") if isinstance(value, str) else ""
    if not name or len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        raise invalid(9007, f"Content for {kind} record is invalid.")
    return name


def _address(body: Record, _name: str, _zone: str) -> Record:
    kind = str(body["type"]).upper()
    try:
        parsed = IPv4Address(body.get("content")) if kind == "A" else IPv6Address(body.get("content"))
    except (AddressValueError, ValueError, TypeError):
        code, family = (9005, "IPv4") if kind == "A" else (9006, "IPv6")
        raise invalid(code, f"Content for {kind} record must be a valid {family} address.") from None
    return {"content": str(parsed)}


def _alias(body: Record, name: str, zone: str) -> Record:
    if name == zone:
        raise invalid(9013, "CNAME flattening at the zone apex is not offered here.")
    return {"content": _host(body.get("content"), "CNAME")}


def _delegation(body: Record, name: str, zone: str) -> Record:
    if name == zone:
        raise invalid(9013, "NS records at the zone apex are managed by Cloudflare.")
    return {"content": _host(body.get("content"), "NS")}


def _mail(body: Record, _name: str, _zone: str) -> Record:
    if body.get("priority") is None:
        raise invalid(9102, "priority is a required field for MX records.")
    return {
        "content": _host(body.get("content"), "MX"),
        "priority": _number(body["priority"], "priority", 0xFFFF),
    }


def _text(body: Record, _name: str, _zone: str) -> Record:
    content = body.get("content")
    if not isinstance(content, str):
        raise invalid(9207, "Content for TXT record must be text.")
    txt.strings(content)
    return {"content": content}  # reads back exactly as it was written, quoted or not


def _tlsa(body: Record, _name: str, _zone: str) -> Record:
    data = _data(body, "TLSA")
    usage = _number(data["usage"], "usage", 255)
    selector = _number(data["selector"], "selector", 255)
    matching = _number(data["matching_type"], "matching_type", 255)
    certificate = str(data["certificate"]).replace(" ", "").upper()
    if not re.fullmatch(r"([0-9A-F]{2})+", certificate) or len(certificate) != {1: 64, 2: 128}.get(
        matching, len(certificate)
    ):
        raise invalid(9103, "certificate is not a valid hexadecimal digest for its matching_type.")
    return {
        "content": f"{usage} {selector} {matching} {certificate}",
        "data": {"usage": usage, "selector": selector, "matching_type": matching, "certificate": certificate},
    }


def _srv(body: Record, name: str, _zone: str) -> Record:
    data = _data(body, "SRV")
    if not re.match(r"^_[^.]+\._[^.]+\.", name + "."):
        raise invalid(9101, "SRV names begin with _service._proto.")
    fields = {key: _number(data[key], key, 0xFFFF) for key in ("priority", "weight", "port")}
    target = _host(data["target"], "SRV")
    return {
        "content": f"{fields['weight']} {fields['port']} {target}",
        "priority": fields["priority"],
        "data": {**fields, "target": target},
    }


def _caa(body: Record, _name: str, _zone: str) -> Record:
    data = _data(body, "CAA")
    flags = _number(data["flags"], "flags", 255)
    tag, value = str(data["tag"]).lower(), str(data["value"])
    if tag not in ("issue", "issuewild", "iodef") or not value or '"' in value:
        raise invalid(9104, "tag must be issue, issuewild or iodef, and value must not be empty.")
    return {"content": f'{flags} {tag} "{value}"', "data": {"flags": flags, "tag": tag, "value": value}}


def _ds(body: Record, name: str, zone: str) -> Record:
    data = _data(body, "DS")
    if name == zone:
        raise invalid(9013, "DS records belong to the parent of the zone.")
    fields = {"key_tag": 0xFFFF, "algorithm": 255, "digest_type": 255}
    numbers = {key: _number(data[key], key, limit) for key, limit in fields.items()}
    digest = str(data["digest"]).lower()
    if not re.fullmatch(r"([0-9a-f]{2})+", digest):
        raise invalid(9103, "digest is not hexadecimal.")
    content = f"{numbers['key_tag']} {numbers['algorithm']} {numbers['digest_type']} {digest}"
    return {"content": content, "data": {**numbers, "digest": digest}}


CHECKS: dict[str, Callable[[Record, str, str], Record]] = {
    "A": _address,
    "AAAA": _address,
    "CNAME": _alias,
    "NS": _delegation,
    "MX": _mail,
    "TXT": _text,
    "TLSA": _tlsa,
    "SRV": _srv,
    "CAA": _caa,
    "DS": _ds,
}


def _data(body: Record, kind: str) -> Record:
    data = body.get("data")
    given = data if isinstance(data, dict) else {}
    missing = [f for f in STRUCTURED[kind] if given.get(f) is None or given.get(f) == ""]
    if missing:
        raise ApiError(
            400, *(Detail(MISSING_DATA_FIELD, f"{field} is a required data field.") for field in missing)
        )
    return given


def _number(value: Any, field: str, limit: int) -> int:
    if isinstance(value, float) and value.is_integer():  # the official SDK types these as float
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit:
        raise invalid(9105, f"{field} must be a whole number between 0 and {limit}.")
    return value


def _ttl(value: Any) -> int:
    ttl = _number(value, "ttl", TTL_MAX)
    if ttl != TTL_AUTOMATIC and ttl < TTL_MIN:
        raise invalid(9021, "Invalid TTL. Must be between 60 and 86,400 seconds, or 1 for Automatic.")
    return ttl


def _proxied(body: Record, kind: str) -> bool:
    proxied = body.get("proxied") or False
    if not isinstance(proxied, bool):
        raise invalid(9207, "proxied must be true or false.")
    if proxied and kind not in PROXIABLE:
        raise invalid(9004, "This record type cannot be proxied.")
    return proxied


def _comment(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or "\n" in value or len(value) > COMMENT_MAX:
        raise invalid(9300, f"DNS record comment must be one line of at most {COMMENT_MAX} characters.")
    return value


def _tags(value: Any) -> list[str]:
    if value:
        raise invalid(9301, f"DNS record has {len(value)} tags, exceeding the quota of 0.")
    return []
