"""From a request to a decision: shape, route, caller, role, permission, rate, content. Forwards what passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from starlette.types import Receive, Scope, Send

from gateway.authenticate import AccessTokens, ApiKeys, is_api_key
from gateway.authority import Authority
from gateway.authorize import Decision, Principal, comes_from, decide
from gateway.filter import protocol as request_filter
from gateway.filter.guard import Guard
from gateway.head import Head
from gateway.mint import Minter
from gateway.proxy import Exchange
from gateway.rate_limit import Buckets, Streams
from gateway.routes import Match, Route, RouteTable
from gateway.settings import GatewaySettings
from gateway.trail import Trail, traceparent_of
from gateway.upstreams import Upstreams
from shared.errors import (
    DomainError,
    Forbidden,
    NotFound,
    StepUpRequired,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

FAILED_SIGN_IN_COST = 5


class BadRequest(DomainError):
    code = "bad_request"
    title = "The request cannot be forwarded"

    def __init__(self, refused: request_filter.Refused) -> None:
        super().__init__(refused.detail)
        self.status = refused.status  # type: ignore[misc]
        self.code = refused.code  # type: ignore[misc]


class MethodNotAllowed(DomainError):
    status = 405
    code = "method_not_allowed"
    title = "This path has no such method"

    def __init__(self, methods: frozenset[str]) -> None:
        super().__init__()
        self._allow = ", ".join(sorted(methods))

    def headers(self) -> dict[str, str]:
        return {"Allow": self._allow}


class AddressNotAllowed(Forbidden):
    code = "address_not_allowed"
    title = "The API key is bound to other networks"


class IdempotencyKeyMissing(DomainError):
    status = 400
    code = "idempotency_key_missing"
    title = "This request needs an Idempotency-Key header"


class Pipeline:
    def __init__(
        self,
        settings: GatewaySettings,
        table: RouteTable,
        authority: Authority,
        tokens: AccessTokens,
        keys: ApiKeys,
        minter: Minter,
        upstreams: Upstreams,
        guard: Guard,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self.table = table
        self._authority = authority
        self._tokens = tokens
        self._keys = keys
        self._minter = minter
        self._upstreams = upstreams
        self._guard = guard
        self._now = now
        self._signed_in = Buckets("caller", settings.rate_limit_signed_in)
        self._public = Buckets("address", settings.rate_limit_public)
        self._streams = Streams(settings.streams_per_caller)

    async def run(self, scope: Scope, receive: Receive, send: Send, trail: Trail) -> int:
        """The status sent. Raises DomainError for what is refused, before anything was sent."""
        head: Head = scope.get("head") or Head(scope["headers"])
        trail.client_ip = head.client_ip
        try:
            match = self._route(scope, head)
            route = trail.route = match.route
            principal = trail.principal = await self._caller(route, head.bearer, trail)
        except DomainError:
            if not trail.judged:
                await self._guard.admit(trail)
            raise
        if self._guard.minds(trail):
            await self._guard.admit(trail)
        self._limit(route, principal, trail)
        workspace_id = trail.asked_workspace = match.params.get("workspace_id")
        role = await self._admit(route, principal, workspace_id)
        trail.workspace_id = workspace_id
        if route.idempotency and b"idempotency-key" not in head.by_name:
            raise IdempotencyKeyMissing(next_action="Send a fresh random value in Idempotency-Key.")
        declared = self._guard.examine(scope["query_string"], match, head, trail)
        if declared is not None and head.has_body:
            receive = await self._guard.examine_body(declared, head.by_name, receive, trail)
        if route.method != "GET":
            # A caller may take his time over a body; what was true at its beginning has to be true at its end.
            role = await self._admit(route, principal, workspace_id)
        token = self._minter.token(route, principal, workspace_id, role, trail.client_ip)
        exchange = trail.exchange = self._exchange(scope, route, head, token, trail)
        proxy = self._upstreams.proxies[route.service]
        if not route.stream:
            return await proxy.forward(exchange, receive, send)
        with self._streams.one(principal.subject if principal else trail.client_ip):
            return await proxy.forward(exchange, receive, send)

    async def _admit(self, route: Route, principal: Principal | None, workspace_id: str | None) -> str | None:
        """The caller's role in the workspace, as of now. Raises what refuses him."""
        if principal is not None and self._ended(principal):
            raise Unauthenticated("The session or key has ended.", next_action="Sign in, or use another key.")
        role = None
        if principal is not None:
            role = self._known_role(principal, workspace_id) or await self._role(
                route, principal, workspace_id
            )
        decision = decide(route, principal, workspace_id, role, int(self._now()))
        if decision.refusal is not None:
            raise _refusal(decision, route)
        return role

    def _route(self, scope: Scope, head: Head) -> Match:
        method, raw_path, query = scope["method"], scope["raw_path"], scope["query_string"]
        if head.cross_site and (method, raw_path) not in self.table.linked:
            raise BadRequest(request_filter.CROSS_SITE)
        refused = head.refused
        if refused is None and (query or not self.table.matched(method, raw_path)):
            refused = request_filter.check_target(raw_path, query)
        if refused is None and head.has_body:
            length = head.by_name.get(b"content-length", b"0")
            refused = request_filter.check_length(length, self._settings.max_body_bytes)
        if refused is not None:
            raise BadRequest(refused)
        match = self.table.match(method, raw_path)
        if not isinstance(match, Match):
            raise MethodNotAllowed(match) if match else NotFound()
        return match

    # -- who asks ------------------------------------------------------------------------------------------

    async def _caller(self, route: Route, credential: bytes | None, trail: Trail) -> Principal | None:
        if route.access == "public":
            return None
        if credential is None:
            raise Unauthenticated(
                next_action="Send Authorization: Bearer with an access token or an API key."
            )
        if is_api_key(credential):
            honeytoken = self._guard.conduct.is_honeytoken(trail, credential)
            principal = None if honeytoken else await self._keys.principal(credential)
        else:
            principal = self._tokens.remembered(credential) or await self._tokens.principal(credential)
        if principal is None or self._ended(principal):
            self._count_failure(trail)
            raise Unauthenticated(
                "The access token or API key is not valid.", next_action="Sign in, or use another key."
            )
        if not comes_from(principal.networks, trail.client_ip):
            self._count_failure(trail)
            raise AddressNotAllowed(
                "This key is not to be used from this address.",
                next_action="Use it from a network on its list, or make a key for this one.",
            )
        return principal

    def _ended(self, principal: Principal) -> bool:
        return self._authority.ended(principal.credential_id)

    def _known_role(self, principal: Principal, workspace_id: str | None) -> str | None:
        """From the map while it can be trusted."""
        if workspace_id is None or not self._authority.fresh:
            return None
        return self._authority.role(principal.account_id, workspace_id)

    async def _role(self, route: Route, principal: Principal, workspace_id: str | None) -> str | None:
        """What the map does not say: a person whom it does not know is asked about, since he may have joined a moment
        ago. Without trust auth is asked about every read, and nothing may be changed."""
        if self._authority.fresh:
            if workspace_id is None or principal.kind == "api_key":
                return None
            return await self._introspected(principal, workspace_id)
        if route.method != "GET":
            raise Unavailable("Rights cannot be checked for changes at the moment.", retry_after=5)
        if principal.kind == "api_key":
            # Nothing is cached now: the key was introspected for this very request, and its role came with it.
            return principal.maker_role if principal.workspace_id == workspace_id else None
        return await self._introspected(principal, workspace_id)

    async def _introspected(self, person: Principal, workspace_id: str | None) -> str | None:
        if workspace_id is not None and not _is_workspace_id(workspace_id):
            workspace_id = None
        question = {
            "kind": "session",
            "session_id": person.session_id,
            "account_id": person.account_id,
            "workspace_id": workspace_id,
        }
        answer = await self._authority.settled(lambda: self._upstreams.introspect(question))
        if answer.get("active") is not True:
            raise Unauthenticated("The session has ended.", next_action="Sign in again.")
        role = answer.get("role")
        return str(role) if role is not None else None

    # -- how much ------------------------------------------------------------------------------------------

    def _limit(self, route: Route, principal: Principal | None, trail: Trail) -> None:
        if principal is None:
            trail.verdict = self._public.take(trail.client_ip, route.cost)
        else:
            trail.verdict = self._signed_in.take(principal.subject, route.cost)
        if not trail.verdict.allowed:
            raise TooManyRequests(
                "The limit of requests per minute is reached.", retry_after=trail.verdict.retry_after
            )

    def _count_failure(self, trail: Trail) -> None:
        verdict = self._public.take(trail.client_ip, FAILED_SIGN_IN_COST)
        if not verdict.allowed:
            trail.verdict = verdict
            raise TooManyRequests("Too many failed sign-ins.", retry_after=verdict.retry_after)

    # -- on its way ----------------------------------------------------------------------------------------

    def _exchange(self, scope: Scope, route: Route, head: Head, token: bytes, trail: Trail) -> Exchange:
        request_id = trail.request_id.encode()
        traceparent = head.traceparent or traceparent_of(trail.request_id).encode()
        headers = b"%bx-sc-identity: %b\r\nx-request-id: %b\r\ntraceparent: %b\r\n" % (
            head.passed, token, request_id, traceparent,
        )  # fmt: skip
        if route.cookie is not None:
            name = route.cookie.encode()
            content = request_filter.cookie(head.headers, name)
            headers += b"cookie: %b=%b\r\n" % (name, content) if content is not None else b""
        query: bytes = scope["query_string"]
        length = head.by_name.get(b"content-length") if head.has_body else None
        return Exchange(
            method=scope["method"],
            target=scope["raw_path"] + b"?" + query if query else scope["raw_path"],
            headers=headers,
            has_body=head.has_body,
            content_length=int(length) if length is not None else None,
            request_id=request_id,
            cookies=route.service == "auth" and route.access != "workspace",
            verdict=trail.verdict,
            whole=scope.get("whole"),
            allowed=partial(self._still_allowed, route, trail, head.bearer) if route.stream else None,
        )

    async def _still_allowed(self, route: Route, trail: Trail, credential: bytes | None) -> bool:
        """Whether a stream may go on: credential and rights are what they have to be, as far as can be known."""
        principal = trail.principal
        if principal is None:
            return True
        try:
            if credential is not None and principal.kind == "api_key" and not self._authority.fresh:
                principal = await self._keys.principal(credential)
            if principal is None or principal.expires_at <= self._now():
                return False
            await self._admit(route, principal, trail.workspace_id)
        except DomainError:
            return False
        return True


def _is_workspace_id(text: str) -> bool:
    return (
        len(text) == 35 and text.startswith("ws_") and all(digit in "0123456789abcdef" for digit in text[3:])
    )


def _refusal(decision: Decision, route: Route) -> DomainError:
    if decision.refusal == "unauthenticated":
        return Unauthenticated()
    if decision.refusal == "not_found":
        return NotFound()
    if decision.refusal == "step_up_required":
        return StepUpRequired(max_age=route.step_up or 0)
    if decision.missing is None:
        return Forbidden("This is for signed-in people, not for keys.")
    return Forbidden(f"This needs {decision.missing}.", next_action="Ask an owner of the workspace.")
