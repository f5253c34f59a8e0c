"""Access rules. Each route declares exactly one; an application with a route that declares none does not start.

dependencies=[requires("servers.read")]               a permission in the workspace of the path
dependencies=[requires("exports.create", step_up=300)] … and a sign-in at most 300 seconds ago
dependencies=[signed_in()]                             any signed-in user, no workspace (also with step_up)
dependencies=[public()]                                everybody
dependencies=[internal("provisioner")]                 this service's own token, under /internal/ only
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts

from shared.contracts.calls import CALLS, Call
from shared.errors import Forbidden, NotFound, StepUpRequired, Unauthenticated
from shared.identity.model import Identity

KIT_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json"})


class MissingAccessRule(RuntimeError):
    """A route declares no access rule, more than one, or one against its path; or it is not in the document."""


def _current(request: Request) -> Identity | None:
    identity: Identity | None = getattr(request.state, "identity", None)
    return identity


class AccessRule:
    """A dependency that lets a request pass or raises. Subclasses say who passes."""

    async def __call__(self, request: Request) -> None:
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """The rule as data, for OpenAPI (`x-access`)."""
        raise NotImplementedError


class RequiresPermission(AccessRule):
    def __init__(self, permission: str, step_up: int | None) -> None:
        self.permission = permission
        self.step_up = step_up

    async def __call__(self, request: Request) -> None:
        identity = _current(request)
        if identity is None:
            raise Unauthenticated
        named = request.path_params.get("workspace_id")
        if identity.kind == "service" or identity.workspace_id is None:
            raise NotFound
        if named is not None and named != identity.workspace_id:
            raise NotFound
        if self.permission not in identity.permissions:
            raise Forbidden(f"This needs the permission {self.permission}.", permission=self.permission)
        if self.step_up is not None:
            check_age(identity, self.step_up)

    def describe(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"permission": self.permission}
        if self.step_up is not None:
            rule["step_up"] = self.step_up
        return rule


class SignedIn(AccessRule):
    def __init__(self, step_up: int | None = None) -> None:
        self.step_up = step_up

    async def __call__(self, request: Request) -> None:
        identity = _current(request)
        if identity is None:
            raise Unauthenticated
        if identity.kind != "user":
            raise Forbidden("This is for signed-in people, not for keys.")
        if self.step_up is not None:
            check_age(identity, self.step_up)

    def describe(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"signed_in": True}
        if self.step_up is not None:
            rule["step_up"] = self.step_up
        return rule


class Public(AccessRule):
    async def __call__(self, request: Request) -> None:
        return None

    def describe(self) -> dict[str, Any]:
        return {"public": True}


class Internal(AccessRule):
    def __init__(self, callers: tuple[str, ...]) -> None:
        self.callers = callers

    async def __call__(self, request: Request) -> None:
        identity = _current(request)
        if identity is None:
            raise Unauthenticated
        if identity.kind != "service" or identity.issuer not in self.callers:
            raise Forbidden("This service may not make this call.")

    def describe(self) -> dict[str, Any]:
        return {"internal": list(self.callers)}


def check_age(identity: Identity, seconds: int) -> None:
    """Raises StepUpRequired; for keys Forbidden. For use cases where only some of the requests of a route need it."""
    if identity.kind != "user":
        raise Forbidden("This is for signed-in people, not for keys.")
    now = datetime.now(UTC)
    if identity.auth_time is None or (now - identity.auth_time).total_seconds() > seconds:
        raise StepUpRequired(max_age=seconds)


def requires(permission: str, step_up: int | None = None) -> Any:
    return Depends(RequiresPermission(permission, step_up))


def signed_in(step_up: int | None = None) -> Any:
    return Depends(SignedIn(step_up))


def public() -> Any:
    return Depends(Public())


def internal(*callers: str) -> Any:
    return Depends(Internal(callers))


def check_routes(app: FastAPI, service: str) -> None:
    """Raises `MissingAccessRule` unless each route has exactly one rule that fits its path."""
    for context in iter_route_contexts(app.routes):
        path = context.path_format or context.path or ""
        if path in KIT_PATHS:
            continue
        if not isinstance(context.original_route, APIRoute):
            raise MissingAccessRule(f"{path}: only API routes can carry an access rule")
        if not context.include_in_schema:
            raise MissingAccessRule(
                f"{path}: it is hidden from the OpenAPI document, so nobody could check it"
            )
        rules = [item.call for item in context.dependant.dependencies if isinstance(item.call, AccessRule)]
        if len(rules) != 1:
            raise MissingAccessRule(f"{path}: {len(rules)} access rules, exactly one is needed")
        _check_rule(rules[0], path, sorted(context.methods or ()), service)


def _check_rule(rule: AccessRule, path: str, methods: list[str], service: str) -> None:
    if isinstance(rule, Internal) != path.startswith("/internal/"):
        raise MissingAccessRule(f"{path}: internal() and the path /internal/… belong together")
    if isinstance(rule, Internal):
        for caller in rule.callers:
            for method in methods:
                if Call(caller, service, method, path) not in CALLS:
                    raise MissingAccessRule(f"{caller} -> {method} {path} is not on the list of calls")
    if "{workspace_id}" in path and not isinstance(rule, RequiresPermission):
        raise MissingAccessRule(f"{path}: a path of a workspace needs requires(…)")


async def _identity(request: Request) -> Identity:
    identity = _current(request)
    if identity is None:
        raise Unauthenticated
    return identity


async def _optional_identity(request: Request) -> Identity | None:
    return _current(request)


IdentityDep = Annotated[Identity, Depends(_identity)]
OptionalIdentityDep = Annotated[Identity | None, Depends(_optional_identity)]
