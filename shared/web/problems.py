"""Problem documents (RFC 9457): every failure of every route leaves in this shape.

    {"type": "about:blank#conflict", "title": …, "status": 409, "detail": …, "code": "conflict",
     "instance": "req_…", "errors": [{"field", "detail"}], "next_action": …}

A 404 carries neither `instance` nor a detail of its own, so that foreign, unknown and deleted things answer byte
for byte the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from shared.errors import DomainError, NotFound
from shared.observability.logging import get_logger

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"
RETRY_SECONDS = 2
"""When to come back, where nobody knows better (RFC 9110, 10.2.3)."""

NOT_FOUND: dict[str, Any] = {
    "type": TYPE_PREFIX + NotFound.code,
    "title": NotFound.title,
    "status": 404,
    "detail": "There is nothing here, or it is not yours.",
    "code": NotFound.code,
}

_CODES = {
    400: "bad_request", 401: "unauthenticated", 403: "forbidden", 405: "method_not_allowed", 406: "not_acceptable",
    408: "timeout", 411: "length_required", 413: "too_large", 415: "unsupported_media_type", 429: "too_many_requests",
}  # fmt: skip
_RETRYABLE_SQLSTATES = {"40001", "40P01", "55P03", "57P01", "57P02", "57P03", "53300"}

_log = get_logger("web")


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    instance: str | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    next_action: str | None = None,
    headers: Mapping[str, str] | None = None,
    **extra: Any,
) -> JSONResponse:
    """One problem response. `extra` adds members of its own and never replaces a standard one. 429 and 503 always say
    when to come back."""
    body: dict[str, Any] = {
        **extra, "type": TYPE_PREFIX + code, "title": title, "status": status, "detail": detail, "code": code
    }  # fmt: skip
    if instance:
        body["instance"] = instance
    if errors:
        body["errors"] = [dict(error) for error in errors]
    if next_action:
        body["next_action"] = next_action
    response = JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)
    if status in (429, 503):
        response.headers.setdefault("Retry-After", str(RETRY_SECONDS))
    return response


def not_found() -> JSONResponse:
    return JSONResponse(NOT_FOUND, status_code=404, media_type=MEDIA_TYPE)


def problem_of(error: DomainError, instance: str | None) -> JSONResponse:
    """The response for an expected failure."""
    if error.status == 404:
        return not_found()
    errors = [{"field": error.field, "detail": error.detail}] if error.field else []
    return problem(
        error.status,
        error.code,
        error.title,
        error.detail,
        instance=instance,
        errors=errors,
        next_action=error.next_action,
        headers=error.headers(),
        **error.extra,
    )


def request_id(request: Request) -> str | None:
    identifier: str | None = request.scope.get("state", {}).get("request_id")
    return identifier


async def _domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    _log.info("refused", code=error.code, status=error.status, detail=error.detail)
    return problem_of(error, request_id(request))


async def _validation_error(request: Request, error: Exception) -> Response:
    """422 with each field at fault; the rejected input itself is never echoed. A malformed id is just unknown."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(item["loc"][:1] == ("path",) for item in found):
        methods = _methods_here(request)
        return not_found() if request.method in methods else _not_allowed(request, methods)
    errors = [
        {"field": ".".join(str(part) for part in item["loc"]), "detail": str(item["msg"])}
        for item in found[:20]
    ]
    return problem(
        422,
        "invalid",
        "The request is not valid",
        "One or more fields are not valid.",
        instance=request_id(request),
        errors=errors,
        next_action="Mend the fields named in errors and send the request again.",
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return not_found()
    code = _CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal")
    text = str(error.detail)
    if error.status_code == 405:
        return _not_allowed(request, _methods_here(request))
    return problem(
        error.status_code, code, text, text, instance=request_id(request), headers=error.headers or {}
    )


def _not_allowed(request: Request, methods: set[str]) -> Response:
    title = "Method Not Allowed"
    headers = {"Allow": ", ".join(sorted(methods))}
    return problem(405, _CODES[405], title, title, instance=request_id(request), headers=headers)


def _methods_here(request: Request) -> set[str]:
    """All methods of the path (RFC 9110, 10.2.1): Starlette knows only those of the first route that has it, and
    takes `refresh` in `/sessions/refresh` for the id in `/sessions/{session_id}`."""
    methods: dict[str, set[str]] = {}
    for context in iter_route_contexts(request.app.routes):
        path = context.path_format
        if path and compile_path(path)[0].match(request.url.path):
            methods.setdefault(path, set()).update(context.methods or ())
    plainest = min(methods, key=lambda path: path.count("{"), default=None)
    return methods[plainest] if plainest else set()


async def _database_error(request: Request, error: Exception) -> Response:
    """503 when trying again may help (lost connection, deadlock, lock timeout), else a defect."""
    assert isinstance(error, DBAPIError)
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    _log.error("database", sqlstate=state, kind=type(error.orig).__name__)
    if error.connection_invalidated or state in _RETRYABLE_SQLSTATES or (state or "").startswith("08"):
        return problem(
            503, "unavailable", "Temporarily unavailable", "The request could not be carried out now.",
            instance=request_id(request), next_action="Send the same request again.",
        )  # fmt: skip
    return internal_error(request_id(request))


async def _connection_error(request: Request, error: Exception) -> Response:
    _log.error("dependency unreachable", kind=type(error).__name__)
    return problem(
        503, "unavailable", "Temporarily unavailable", "A component that this needs does not answer.",
        instance=request_id(request), next_action="Send the same request again.",
    )  # fmt: skip


def internal_error(instance: str | None) -> JSONResponse:
    """What a defect looks like from outside: nothing but the id under which the log has it."""
    return problem(
        500, "internal", "Something went wrong on our side", "It has been logged under the instance given here.",
        instance=instance,
    )  # fmt: skip


def install(app: FastAPI) -> None:
    """Makes every failure of `app` a problem document. Unexpected ones are caught by the access-log middleware."""
    app.add_exception_handler(DomainError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(ConnectionError, _connection_error)
