"""What happens around every request: who asks, under which request id, how it ended, how long it took."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.identity.internal import GATEWAY, HEADER, InternalVerifier
from shared.identity.model import Identity
from shared.identity.tokens import TokenRejected
from shared.ids import id_pattern, new_id
from shared.observability.logging import get_logger
from shared.observability.trace import trace
from shared.web.problems import internal_error, problem

REQUESTS = Counter(
    "sc_http_requests_total", "Requests by route and status", ["service", "method", "route", "status"]
)
SECONDS = Histogram(
    "sc_http_request_seconds", "Seconds until the response ended", ["service", "method", "route"]
)
_REQUEST_ID = re.compile(id_pattern("req"))
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

_log = get_logger("access")


class RequestMiddleware:
    """Verifies `X-SC-Identity` (a bad one is 401 at once), binds the request id to the logs, writes the access
    line and turns an unexpected exception into a 500 that tells nothing."""

    def __init__(self, app: ASGIApp, *, service: str, verifier: InternalVerifier) -> None:
        self._app = app
        self._service = service
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self._app, self._service, self._verifier, scope, receive, send).run()


class _Exchange:
    """One request and its response."""

    def __init__(
        self,
        app: ASGIApp,
        service: str,
        verifier: InternalVerifier,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._app = app
        self._service = service
        self._verifier = verifier
        self._scope = scope
        self._receive = receive
        self._out = send
        self._status = 0
        self._started = time.perf_counter()
        self._request_id = new_id("req")

    async def run(self) -> None:
        state: dict[str, Any] = self._scope.setdefault("state", {})
        state["identity"] = None
        rejected = False
        tokens = Request(self._scope).headers.getlist(HEADER)
        if tokens:
            try:
                identity = self._verifier.verify(tokens[0]) if len(tokens) == 1 else None
                if identity is None:
                    raise TokenRejected("more than one identity header")
                self._request_id = identity.request_id or self._request_id_of(identity) or self._request_id
                state["identity"] = replace(identity, request_id=self._request_id)
            except TokenRejected as error:
                rejected = True
                _log.warning("identity rejected", reason=error.reason)
        state["request_id"] = self._request_id
        traceparent = Request(self._scope).headers.get("traceparent")
        with trace(traceparent), structlog.contextvars.bound_contextvars(request_id=self._request_id):
            await self._serve(rejected)
            self._record()

    def _request_id_of(self, identity: Identity) -> str | None:
        """The gateway's tokens outlive a request, so it sends the request id beside them; from others it is noise."""
        told = Request(self._scope).headers.get("x-request-id", "")
        return told if identity.issuer == GATEWAY and _REQUEST_ID.match(told) else None

    async def _serve(self, rejected: bool) -> None:
        try:
            if rejected:
                response = problem(
                    401, "unauthenticated", "Sign in first", "The identity of this request could not be verified.",
                    instance=self._request_id, headers={"WWW-Authenticate": "Bearer"},
                )  # fmt: skip
                await response(self._scope, self._receive, self._send)
            else:
                await self._app(self._scope, self._receive, self._send)
        except Exception:  # the outermost frame: logged in full here, and nothing of it leaves
            _log.exception("unexpected failure")
            if self._status == 0:
                await internal_error(self._request_id)(self._scope, self._receive, self._send)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message.get("headers", []))
            headers.append((b"x-request-id", self._request_id.encode()))
            message = {**message, "headers": headers}
        await self._out(message)

    def _record(self) -> None:
        path = self._scope["path"]
        if path in QUIET:
            return
        route = getattr(self._scope.get("route"), "path_format", None) or "unmatched"
        method = self._scope["method"]
        seconds = time.perf_counter() - self._started
        REQUESTS.labels(self._service, method, route, str(self._status)).inc()
        SECONDS.labels(self._service, method, route).observe(seconds)
        identity = self._scope["state"].get("identity")
        _log.info(
            "request",
            method=method,
            path=path,
            route=route,
            status=self._status,
            milliseconds=round(seconds * 1000, 1),
            subject=identity.subject if identity else None,
            workspace_id=identity.workspace_id if identity else None,
        )
