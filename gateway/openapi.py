"""One OpenAPI 3.1 document from those of the services, and the comparison of the route table with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.routes import Route, RouteTable

METHODS: Final = ("get", "post", "put", "patch", "delete")
Document = dict[str, Any]


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(METHOD, path, operation) of the public operations of a service."""
    for path, item in document.get("paths", {}).items():
        if path.startswith("/v1/"):
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]


def disagreements(table: RouteTable, documents: Mapping[str, Document]) -> list[str]:
    """What the table says otherwise than the services' own documents; empty when all is one."""
    declared: dict[tuple[str, str], Route] = {
        (route.method, route.path): route for route in table.routes if route.service in documents
    }
    problems: list[str] = []
    seen: set[tuple[str, str]] = set()
    for service, document in documents.items():
        for method, path, operation in operations(document):
            seen.add((method, path))
            route = declared.get((method, path))
            if route is None:
                problems.append(f"{method} {path} of {service} is not in the table")
            elif route.service != service:
                problems.append(f"{method} {path} is {service}'s, the table says {route.service}")
            else:
                problems += _compare(route, operation)
    problems += [
        f"{route.method} {route.path} is in the table, {route.service} has no such route"
        for key, route in declared.items()
        if key not in seen
    ]
    return sorted(problems)


def _compare(route: Route, operation: Mapping[str, Any]) -> list[str]:
    name = f"{route.method} {route.path}"
    rule = operation.get("x-access", {})
    found = []
    if route.access == "workspace":
        if rule.get("permission") != route.permission:
            found.append(f"{name}: the table asks {route.permission}, the service {rule.get('permission')}")
    elif not rule.get(route.access):
        found.append(f"{name}: the table says {route.access}, the service {rule or 'nothing'}")
    if rule.get("step_up") != route.step_up:
        found.append(f"{name}: step-up {route.step_up} in the table, {rule.get('step_up')} in the service")
    asks_key = any(
        parameter.get("in") == "header" and parameter.get("name", "").lower() == "idempotency-key"
        for parameter in operation.get("parameters", [])
    )
    if asks_key != route.idempotency:
        found.append(f"{name}: idempotency {route.idempotency} in the table, {asks_key} in the service")
    return found


def merge(table: RouteTable, documents: Mapping[str, Document], server_url: str) -> Document:
    """The public document. Component names that two services use differently get the service's name before them."""
    merged: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "SendChief",
            "version": "1",
            "description": "Dedicated mail servers in the EU. Errors are problem documents (RFC 9457).",
        },
        "servers": [{"url": server_url}],
        "paths": {},
        "components": {
            "schemas": {},
            "securitySchemes": {
                "access_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "http", "scheme": "bearer", "description": "sc_live_…"},
            },
        },
    }
    routes: dict[tuple[str, str], Route] = {(route.method, route.path): route for route in table.routes}
    for service in sorted(documents):
        document = _with_own_names(
            copy.deepcopy(documents[service]), service, merged["components"]["schemas"]
        )
        merged["components"]["schemas"].update(document.get("components", {}).get("schemas", {}))
        for method, path, operation in operations(document):
            route = routes.get((method, path))
            if route is not None and route.service == service:
                merged["paths"].setdefault(path, {})[method.lower()] = _public(operation, route)
    return merged


def _public(operation: Document, route: Route) -> Document:
    operation.pop("x-access", None)
    if route.access == "public":
        operation["security"] = []
        return operation
    operation["security"] = [{"access_token": []}]
    if route.scope is not None:
        operation["security"].append({"api_key": []})
        operation["x-scope"] = route.scope
    if route.permission is not None:
        operation["x-permission"] = route.permission
        operation["x-roles"] = sorted(route.roles)
    if route.step_up is not None:
        operation["x-step-up"] = route.step_up
    return operation


def _with_own_names(document: Document, service: str, taken: Mapping[str, Any]) -> Document:
    schemas: Document = document.get("components", {}).get("schemas", {})
    clashing = {name for name, schema in schemas.items() if name in taken and taken[name] != schema}
    if not clashing:
        return document
    while True:  # a schema that refers to a renamed one says something else now, too
        touched = {name for name in schemas if name in taken and _refers(schemas[name], clashing)} - clashing
        if not touched:
            break
        clashing |= touched
    renamed = {name: f"{service.capitalize()}{name}" for name in clashing}
    document["components"]["schemas"] = {renamed.get(name, name): schema for name, schema in schemas.items()}
    references = {
        f"#/components/schemas/{old}": f"#/components/schemas/{new}" for old, new in renamed.items()
    }
    _rewrite(document, references)
    return document


def _refers(node: Any, names: set[str]) -> bool:
    if isinstance(node, dict):
        target = node.get("$ref")
        if isinstance(target, str) and target.rpartition("/")[2] in names:
            return True
        return any(_refers(value, names) for value in node.values())
    return isinstance(node, list) and any(_refers(item, names) for item in node)


def _rewrite(node: Any, references: Mapping[str, str]) -> None:
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and (key == "$ref" or value in references):
                node[key] = references.get(value, value)
            else:
                _rewrite(value, references)
    elif isinstance(node, list):
        for item in node:
            _rewrite(item, references)
