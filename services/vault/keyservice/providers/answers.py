"""What both KMSs have in common: one call, and answers that are what they should be or count as none.

A vendor's text is never quoted: it may hold what it was asked to seal.
"""

from __future__ import annotations

import base64
from typing import Any, TypeVar

from services.vault.aead import KEY_BYTES
from services.vault.errors import KeyServiceDenied, KeyServiceUnavailable
from services.vault.secret_bytes import SecretBytes
from shared.http import (
    AsyncClient,
    VendorAuthFailed,
    VendorRateLimited,
    VendorUnavailable,
    vendor_request,
)
from shared.observability.logging import get_logger

MAX_BYTES = 64 * 1024
"""Of an answer. A wrapped data key is some hundred bytes, the description of a key a few thousand."""
LONGEST_WRAP = 1024

Kind = TypeVar("Kind")

logger = get_logger(__name__)


async def call(client: AsyncClient, method: str, path: str, *, vendor: str, **options: Any) -> dict[str, Any]:
    """The object that is answered.

    Raises KeyServiceUnavailable, KeyServiceDenied, and VendorRejected for what only the caller can tell apart.
    """
    try:
        response = await vendor_request(client, method, path, vendor=vendor, **options)
    except VendorAuthFailed as error:
        logger.error("the KMS does not accept our credential", vendor=vendor, status=error.status)
        raise KeyServiceDenied(vendor) from None
    except (VendorUnavailable, VendorRateLimited) as error:
        logger.warning("the KMS does not answer", vendor=vendor, detail=str(error))
        raise KeyServiceUnavailable(vendor) from None
    if response.status_code != 200:
        raise nonsense(vendor, f"status {response.status_code}")
    try:
        body = response.json()
    except (ValueError, RecursionError):
        raise nonsense(vendor, "not JSON") from None
    found: dict[str, Any] = member(body, None, dict, vendor)
    return found


def nonsense(vendor: str, what: str) -> KeyServiceUnavailable:
    """An answer that is none: of a proxy on the way, or of a version that we do not know."""
    logger.error("the KMS answers something else", vendor=vendor, what=what)
    return KeyServiceUnavailable(vendor)


def member(value: Any, name: str | None, kind: type[Kind], vendor: str) -> Kind:
    """`value[name]`, or the value itself, of exactly this kind. Raises KeyServiceUnavailable."""
    found = value if name is None else value.get(name)
    if type(found) is not kind:
        raise nonsense(vendor, f"{name or 'the answer'} is not {kind.__name__}")
    assert isinstance(found, kind)  # for the type checker
    return found


def data_key(answer: dict[str, Any], vendor: str) -> SecretBytes:
    """The member `plaintext`."""
    opened = decoded(member(answer, "plaintext", str, vendor), vendor)
    if len(opened) != KEY_BYTES:
        raise nonsense(vendor, f"a data key of {len(opened)} bytes")
    return SecretBytes(opened)


def decoded(text: str, vendor: str) -> bytes:
    """Base64, of which there is one spelling only: what is stored gives back exactly what was answered."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise nonsense(vendor, "not base64") from None
    if not 0 < len(raw) <= LONGEST_WRAP or encoded(raw) != text:
        raise nonsense(vendor, "base64 of another length or spelling")
    return raw


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
