"""A webhook's body is proven by a signature over its very bytes, so its route reads them itself.

@router.post("/v1/webhooks/…", dependencies=[public()], openapi_extra=SIGNED_JSON)

Without this the document would say that the route takes no body, and the gateway lets none pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from shared.errors import DomainError

MAX_BODY: Final = 1024 * 1024


class BadSignature(DomainError):
    status = 400
    code = "bad_signature"
    title = "The signature does not fit"


class TooLarge(DomainError):
    status = 413
    code = "too_large"
    title = "The request is too large"


def signed_json(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route whose signed body has this JSON Schema."""
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": dict(schema)}}},
        "x-signed-body": True,
    }


SIGNED_JSON: Final = signed_json({"type": "object"})


async def read_bounded(stream: AsyncIterator[bytes]) -> bytes:
    """The raw body, byte for byte as it was signed. Raises TooLarge."""
    body = bytearray()
    async for chunk in stream:
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge
    return bytes(body)
