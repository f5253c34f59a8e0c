"""DKIM keys (RFC 6376 section 3.6.1): RSA for everybody (RFC 8301), Ed25519 beside it (RFC 8463)."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

from services.dns.names import is_within
from services.dns.records.model import DesiredRecord

_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_MIN_RSA_OCTETS = 256  # the modulus of 2048 bits alone (RFC 8301 section 3.2 wants at least that for signing)
_ED25519_OCTETS = 32


def public_key(
    server_id: str, domain_id: str, domain: str, selector: str, algorithm: Literal["rsa", "ed25519"], key: str
) -> DesiredRecord:
    """`key` is base64 of what `p=` holds: SubjectPublicKeyInfo for RSA, the bare 32 octets for Ed25519.

    Raises ValueError for a key or selector that no verifier would take. A 2048-bit RSA key is longer than one
    character-string; the strings are joined without a space by those who read them (section 3.6.2.2).
    """
    _check(selector, algorithm, key)
    name = f"{selector}._domainkey.{domain}"
    if not is_within(name, domain) or len(name) > 253:
        raise ValueError("The DKIM selector makes a name that is too long.")
    kind = "RSA" if algorithm == "rsa" else "Ed25519"
    return DesiredRecord(
        name=name,
        type="TXT",
        value=f"v=DKIM1; k={algorithm}; p={key}",
        purpose=f"dkim-{algorithm}",
        rule="RFC 6376 section 3.6.1" if algorithm == "rsa" else "RFC 8463 section 4",
        explanation=f"The public key that proves the domain's signature on its mail (DKIM, {kind}).",
        server_id=server_id,
        domain_id=domain_id,
    )


def _check(selector: str, algorithm: str, key: str) -> None:
    if not _SELECTOR.fullmatch(selector):
        raise ValueError(f"{selector!r} is not a DKIM selector.")
    try:
        octets = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError("The DKIM key is not base64.") from error
    if algorithm == "ed25519" and octets != _ED25519_OCTETS:
        raise ValueError(f"An Ed25519 key has {_ED25519_OCTETS} octets, this one {octets}.")
    if algorithm == "rsa" and octets < _MIN_RSA_OCTETS:
        raise ValueError("An RSA key for DKIM has at least 2048 bits.")
