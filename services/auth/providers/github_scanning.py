"""Who may say that a key has leaked: ECDSA P-256 over the body, as in GitHub's secret scanning partner programme.

The keys come in the form in which GitHub publishes them (`GET /meta/public_keys/secret_scanning`):

    {"public_keys": [{"key_identifier": "…", "key": "-----BEGIN PUBLIC KEY-----…", "is_current": true}]}

Old ones stay in the list while they may still be used, so `is_current` decides nothing here.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel

from services.auth.ports import SignatureRejected
from shared.identity.files import FromFiles

Keys = dict[str, ec.EllipticCurvePublicKey]


class _PublishedKey(BaseModel):
    key_identifier: str
    key: str


class _PublishedKeys(BaseModel):
    public_keys: list[_PublishedKey]


class ScannerKeys:
    """The scanner's public keys, from a file that may be replaced while the process runs. Without a file: none."""

    def __init__(self, file: Path | None) -> None:
        self._keys = FromFiles(lambda: [file] if file else [], lambda: read_keys(file) if file else {})

    def verify(self, body: bytes, key_identifier: str | None, signature: str | None) -> None:
        """Raises SignatureRejected unless the named key signed exactly these bytes."""
        key = self._keys.get().get(key_identifier or "")
        if key is None:
            raise SignatureRejected("unknown key")
        try:
            key.verify(base64.b64decode(signature or "", validate=True), body, ec.ECDSA(SHA256()))
        except (binascii.Error, InvalidSignature, ValueError) as error:
            raise SignatureRejected("signature does not fit") from error


def read_keys(file: Path) -> Keys:
    """Raises ValueError when the file, or a key in it, is not of the published form."""
    found: Keys = {}
    for item in _PublishedKeys.model_validate_json(file.read_bytes()).public_keys:
        try:
            key = load_pem_public_key(item.key.encode())
        except UnsupportedAlgorithm as error:
            raise ValueError(f"{item.key_identifier}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"{item.key_identifier} is no P-256 key")
        found[item.key_identifier] = key
    return found
