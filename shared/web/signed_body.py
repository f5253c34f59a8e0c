"""A webhook's body is proven by a signature over its very bytes, so its route reads them itself.

@router.post("/v1/webhooks/…", dependencies=[public()], openapi_extra=SIGNED_JSON)

Without this the document would say that the route takes no body, and the gateway lets none pass.
"""

from __future__ import annotations

from typing import Any, Final

SIGNED_JSON: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    "x-signed-body": True,
}
