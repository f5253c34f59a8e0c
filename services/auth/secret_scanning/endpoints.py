"""Where scanners of public code report keys of ours."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request

from services.auth.secret_scanning.schemas import Verdict
from services.auth.wiring import Wired
from shared.web.access import public
from shared.web.signed_body import read_bounded, signed_json

router = APIRouter(tags=["API keys"])
_ALERT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["token", "type"],
    "properties": {name: {"type": "string"} for name in ("token", "type", "url", "source")},
}


@router.post(
    "/v1/secret-scanning/alerts",
    dependencies=[public()],
    openapi_extra=signed_json({"type": "array", "items": _ALERT}),
)
async def report_leaked_keys(
    request: Request,
    wired: Wired,
    key_identifier: Annotated[
        str | None, Header(alias="Github-Public-Key-Identifier", max_length=128)
    ] = None,
    signature: Annotated[str | None, Header(alias="Github-Public-Key-Signature", max_length=256)] = None,
) -> list[Verdict]:
    """Takes a signed list of tokens found in public, and revokes those that are keys of ours."""
    body = await read_bounded(request.stream())
    return await wired.secret_scanning.take(body, key_identifier, signature)
