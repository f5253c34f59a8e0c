"""The route table: what is forwarded, to whom, for whom. Loaded from `permissions.toml`, matched exactly."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Access = Literal["public", "signed_in", "workspace"]
Role = Literal["owner", "admin", "member"]
ANY_SCOPE = "any"
"""A route with this scope is open to every API key of the workspace, whatever it may do otherwise."""

MAX_KNOWN: Final = 4096
_is_segment = re.compile(r"[A-Za-z0-9._~-]{1,128}").fullmatch
_NO_PARAMS: Mapping[str, str] = MappingProxyType({})
_TEMPLATE = re.compile(r"/v1(/([a-z0-9.-]+|\{[a-z_]+\}))+")


class Route(BaseModel):
    """One line of the table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, Field(pattern=_TEMPLATE.pattern + "$")]
    service: Literal["auth", "vault", "provisioner", "dns", "reputation"]
    access: Access
    permission: Annotated[str, Field(pattern=r"^[a-z_]+\.[a-z_]+$")] | None = None
    scope: Annotated[str, Field(pattern=r"^([a-z_]+:[a-z_]+|any)$")] | None = None
    roles: frozenset[Role] = frozenset()
    step_up: Annotated[int, Field(ge=1)] | None = None
    idempotency: bool = False
    cost: Annotated[int, Field(ge=1, le=100)] = 1
    stream: bool = False
    cookie: str | None = None
    linked: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Route:
        of_workspace = "{workspace_id}" in self.path
        if of_workspace != (self.access == "workspace"):
            raise ValueError("a path has {workspace_id} exactly when its access is workspace")
        if of_workspace != (self.permission is not None) or of_workspace != bool(self.roles):
            raise ValueError("permission and roles belong to routes of a workspace, and to each of them")
        if self.scope is not None and not of_workspace:
            raise ValueError("only routes of a workspace are open to API keys")
        if self.scope is not None and self.step_up is not None:
            raise ValueError("a key cannot sign in afresh: no scope where step_up is asked")
        return self


class BadTable(ValueError):
    """The table contradicts itself; the gateway does not start with it."""


@dataclass(slots=True)
class Match:
    route: Route
    params: Mapping[str, str]
    declared: object = None
    """The declaration whose forms the parameters have passed."""


@dataclass(slots=True)
class _Node:
    """One path segment: literal children, and at most one parameter."""

    literals: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class RouteTable:
    """Finds the route of a request. Nothing is normalised: what does not match exactly does not exist."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self.linked = frozenset((route.method, route.path.encode()) for route in self.routes if route.linked)
        self._root = _Node()
        self._known: dict[tuple[str, bytes], Match] = {}
        for route in self.routes:
            self._insert(route)
        self._permissions = self._by_role()
        self._scopes = self._by_permission()

    @classmethod
    def load(cls, file: Path) -> RouteTable:
        """Raises BadTable."""
        raw: Any = tomllib.loads(file.read_text("utf-8"))
        try:
            return cls(Route.model_validate(entry) for entry in raw["route"])
        except (ValidationError, KeyError) as error:
            raise BadTable(str(error)) from error

    def match(self, method: str, path: bytes) -> Match | frozenset[str]:
        """The route, or the methods that the path has (none: it does not exist)."""
        return self._known.get((method, path)) or self._find(method, path)

    def matched(self, method: str, path: bytes) -> bool:
        """Whether that was matched before, lately: a path means the same each time."""
        return (method, path) in self._known

    def _find(self, method: str, path: bytes) -> Match | frozenset[str]:
        node, values = self._root, []
        for segment in path[1:].decode("ascii").split("/"):
            child = node.literals.get(segment)
            if child is None:
                child = node.parameter
                if child is None or _is_segment(segment) is None:
                    return frozenset()
                values.append(segment)
            node = child
        found = node.routes.get(method)
        if found is None:
            return frozenset(node.routes)
        route, names = found
        match = Match(route, dict(zip(names, values, strict=True)) if names else _NO_PARAMS)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[method, path] = match
        return match

    def permissions_of(self, role: str) -> frozenset[str]:
        """Every permission that some route gives to the role."""
        return self._permissions.get(role, frozenset())

    def permissions_for(self, role: str, scopes: frozenset[str] | None) -> frozenset[str]:
        """What a person in this role may do; with `scopes`, what such a person's API key may do."""
        permissions = self.permissions_of(role)
        if scopes is None:
            return permissions
        granted = scopes | {ANY_SCOPE}
        return frozenset(
            permission for permission in permissions if self._scopes.get(permission, frozenset()) & granted
        )

    def _insert(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path[1:].split("/"):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if len(set(names)) != len(names):
            raise BadTable(f"{route.path}: a parameter is named twice")
        if route.method in node.routes:
            raise BadTable(f"{route.method} {route.path} is in the table twice")
        node.routes[route.method] = (route, tuple(names))

    def _by_role(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {"owner": set(), "admin": set(), "member": set()}
        by_permission: dict[str, frozenset[Role]] = {}
        for route in self.routes:
            if route.permission is None:
                continue
            if by_permission.setdefault(route.permission, route.roles) != route.roles:
                raise BadTable(f"{route.permission} is given to different roles at different routes")
            for role in route.roles:
                found[role].add(route.permission)
        return {role: frozenset(permissions) for role, permissions in found.items()}

    def _by_permission(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for route in self.routes:
            if route.permission is not None and route.scope is not None:
                found.setdefault(route.permission, set()).add(route.scope)
        return {permission: frozenset(scopes) for permission, scopes in found.items()}
