"""The envelope of every answer of API v4 and the errors in it.

Source: https://developers.cloudflare.com/fundamentals/api/reference/ and recorded answers of the DNS endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse

VALIDATION = 1004
RECORD_EXISTS = 81057
IDENTICAL_RECORD = 81058
HOST_CONFLICT = 81053
CNAME_CONFLICT = 81054
NO_SUCH_RECORD = 81044
MISSING_DATA_FIELD = 9101
AUTHENTICATION = 10000
INVALID_ACCESS_TOKEN = 9109
INVALID_HEADERS = 6003
ZONE_EXISTS = 1061
NO_ROUTE = 7003


@dataclass(frozen=True)
class Detail:
    """One entry of ``errors``; `chain` becomes ``error_chain``."""

    code: int
    message: str
    chain: tuple[tuple[int, str], ...] = ()

    def json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.chain:
            body["error_chain"] = [{"code": code, "message": message} for code, message in self.chain]
        return body


class ApiError(Exception):
    """An answer with ``success: false``; raised anywhere below an endpoint, nothing has changed then."""

    def __init__(self, status: int, *details: Detail) -> None:
        self.status = status
        self.details = details
        super().__init__(f"{status}: {'; '.join(d.message for d in details)}")


def invalid(code: int, message: str) -> ApiError:
    """400 "DNS Validation Error" with one reason in the chain."""
    return ApiError(400, Detail(VALIDATION, "DNS Validation Error", ((code, message),)))


def ok(result: Any, *, info: dict[str, int] | None = None, status: int = 200) -> JSONResponse:
    """A successful answer; `info` is ``result_info`` of a list."""
    body: dict[str, Any] = {"result": result, "success": True, "errors": [], "messages": []}
    if info is not None:
        body["result_info"] = info
    return JSONResponse(body, status_code=status)


def refusal(status: int, details: Sequence[Detail], headers: dict[str, str] | None = None) -> JSONResponse:
    """An unsuccessful answer."""
    body = {"result": None, "success": False, "errors": [d.json() for d in details], "messages": []}
    return JSONResponse(body, status_code=status, headers=headers)


def page_of(items: Sequence[Any], page: int, per_page: int) -> tuple[list[Any], dict[str, int]]:
    """One page (1-based) of `items` and its ``result_info``."""
    start = (page - 1) * per_page
    shown = list(items[start : start + per_page])
    total_pages = -(-len(items) // per_page)
    return shown, {
        "page": page,
        "per_page": per_page,
        "count": len(shown),
        "total_count": len(items),
        "total_pages": total_pages,
    }
