"""What FastAPI cannot know of a service's routes, added to its OpenAPI document.

Each operation gets its access rule (`x-access`) and its failures: problem documents (RFC 9457) in place of FastAPI's
own validation error, which no service of ours ever sends.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from shared.web.access import KIT_PATHS, AccessRule
from shared.web.problems import MEDIA_TYPE

PROBLEM: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "A problem document (RFC 9457). `code` is stable; `next_action` says what to do.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "instance": {"type": "string"},
        "next_action": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code"],
}
_MEANINGS: Final = {
    "400": "The request cannot be understood as it stands",
    "401": "No credential, or one that is not valid (any more)",
    "403": "The caller may not do this, or has to sign in afresh first",
    "404": "There is nothing here, or it is not the caller's",
    "409": "It contradicts the present state",
    "412": "It was changed in the meantime",
    "422": "A field is not valid",
    "428": "The header that says what the caller has seen is missing",
    "default": "Any other failure",
}
_NEEDED: Final = {"Idempotency-Key": {"400", "409", "422"}, "If-Match": {"412", "428"}}
"""Headers that the kit asks for, and how it answers when one is missing or does not fit."""
_OF_FASTAPI: Final = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> None:
    """Replaces `app.openapi` by one that tells all this. Call it when every route is there."""
    rules = _rules(app)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in _OF_FASTAPI:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM
        for path, item in document.get("paths", {}).items():
            for method, operation in item.items():
                rule = rules.get((path, method))
                if rule is not None:
                    operation["x-access"] = rule
                    _add_problems(operation, rule)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _rules(app: FastAPI) -> dict[tuple[str, str], dict[str, Any]]:
    """(path, method) → the route's access rule as data."""
    rules: dict[tuple[str, str], dict[str, Any]] = {}
    for context in iter_route_contexts(app.routes):
        path = context.path_format or ""
        if path in KIT_PATHS:
            continue
        rule = next(item.call for item in context.dependant.dependencies if isinstance(item.call, AccessRule))
        for method in context.methods or ():
            rules[path, method.lower()] = rule.describe()
    return rules


def _add_problems(operation: dict[str, Any], rule: dict[str, Any]) -> None:
    parameters = operation.get("parameters", [])
    statuses = {"default"}
    if not rule.get("public"):
        statuses |= {"401", "403"}
    if any(parameter["in"] == "path" for parameter in parameters):
        statuses.add("404")
    if "requestBody" in operation or any(parameter["in"] == "query" for parameter in parameters):
        statuses.add("422")
    for parameter in parameters:
        needed = _NEEDED.get(parameter["name"])
        if needed is not None:
            parameter["required"] = True  # FastAPI thinks it optional, since the kit answers for itself
            statuses |= needed
    responses = operation.setdefault("responses", {})
    if "422" in responses and MEDIA_TYPE not in responses["422"].get("content", {}):
        del responses["422"]
    for status in sorted(statuses - responses.keys()):
        responses[status] = {
            "description": _MEANINGS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
