"""Verifying DKIM signatures (RFC 6376, RFC 8463) with given public keys; relaxed and simple canonicalisation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

KeyName = tuple[str, str]
"""(domain, selector)."""


@dataclass(frozen=True)
class Verdict:
    """About one DKIM-Signature header. `reason` is empty when it verifies."""

    domain: str
    selector: str
    algorithm: str
    reason: str

    @property
    def ok(self) -> bool:
        return not self.reason


def _split(message: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Raw header fields (name, everything after the colon, unfolded not) and the body."""
    text = re.sub(rb"\r?\n", b"\r\n", message)
    head, _, body = text.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    return [
        (name, value) for name, found, value in (field.partition(b":") for field in fields) if found
    ], body


def _body(body: bytes, style: str) -> bytes:
    if style == "relaxed":
        body = re.sub(rb"[ \t]+", b" ", body)
        body = re.sub(rb" \r\n", b"\r\n", body)
    body = re.sub(rb"(\r\n)+\Z", b"", body)
    return body + b"\r\n" if body or style == "simple" else b""


def _header(name: bytes, value: bytes, style: str) -> bytes:
    if style == "simple":
        return name + b":" + value + b"\r\n"
    unfolded = re.sub(rb"[ \t]+", b" ", value.replace(b"\r\n", b"")).strip()
    return name.strip().lower() + b":" + unfolded + b"\r\n"


def _tags(value: bytes) -> dict[str, str]:
    text = value.decode("ascii", "replace")
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip(): re.sub(r"\s+", "", content) for name, _, content in pairs}


def _signed_data(
    fields: list[tuple[bytes, bytes]], signature: tuple[bytes, bytes], tags: dict[str, str]
) -> bytes:
    style = tags.get("c", "simple/simple").split("/")[0]
    remaining = list(fields)
    data = b""
    for wanted in tags["h"].lower().split(":"):
        # Each name takes the lowest instance that was not taken before (section 5.4.2).
        for at in range(len(remaining) - 1, -1, -1):
            if remaining[at][0].strip().lower() == wanted.encode():
                data += _header(*remaining.pop(at), style)
                break
    unsigned = re.sub(rb"(;\s*b\s*=|\A\s*b\s*=)[^;]*", rb"\1", signature[1])
    return data + _header(signature[0], unsigned, style).removesuffix(b"\r\n")


def _check(key_text: str, algorithm: str, signature: bytes, data: bytes) -> str:
    raw = base64.b64decode(key_text)
    try:
        if algorithm == "ed25519-sha256":
            key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
            key.verify(signature, hashlib.sha256(data).digest())
            return ""
        loaded = serialization.load_der_public_key(raw)
        if algorithm != "rsa-sha256" or not isinstance(loaded, rsa.RSAPublicKey):
            return f"algorithm {algorithm} is not accepted"
        loaded.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return "the signature does not match"
    return ""


def verify(message: bytes, keys: Mapping[KeyName, str]) -> list[Verdict]:
    """One verdict per signature. `keys` maps (domain, selector) to the `p=` text of the key record."""
    fields, body = _split(message)
    verdicts = []
    for field in fields:
        if field[0].strip().lower() != b"dkim-signature":
            continue
        tags = _tags(field[1])
        domain, selector = tags.get("d", ""), tags.get("s", "")
        algorithm = tags.get("a", "")
        try:
            reason = _reason(fields, field, body, tags, keys.get((domain, selector)))
        except (KeyError, ValueError, binascii.Error) as error:
            reason = f"malformed: {error}"
        verdicts.append(Verdict(domain, selector, algorithm, reason))
    return verdicts


def _reason(
    fields: list[tuple[bytes, bytes]],
    field: tuple[bytes, bytes],
    body: bytes,
    tags: dict[str, str],
    key: str | None,
) -> str:
    if key is None:
        return "no such key"
    if "l" in tags:
        return "a body length tag lets text be added"
    style = (tags.get("c", "simple/simple") + "/simple").split("/")[1]
    if base64.b64encode(hashlib.sha256(_body(body, style)).digest()).decode() != tags["bh"]:
        return "the body was changed"
    return _check(key, tags["a"], base64.b64decode(tags["b"]), _signed_data(fields, field, tags))
