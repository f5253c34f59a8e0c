"""API3:2023 Broken Object Property Level Authorization: nobody writes or reads a property that is not
his.

Generated from the public API document, so that a new route is held to it from its first day.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx

from tests.isolation.bodies import BODIES
from tests.owasp.front import Front

NOT_FOR_CALLERS = (
    "id", "workspace_id", "account_id", "owner_id", "role", "roles", "is_admin", "permissions", "state", "status",
    "created_at", "created_by", "version", "password_hash", "expires_at", "verified", "price_cents", "plan_limits",
    "__proto__", "constructor",
)  # fmt: skip
SECRET_NAMES = re.compile(
    r"hash|sealed|pepper|private|ciphertext|nonce|wrapped|password|secret|authenticated_by", re.I
)
SHOWN = {
    "POST /v1/me/second-factor: secret",  # once, to its owner
    "GET /v1/workspaces/{workspace_id}/audit: row_hash",  # what the chain of rows is checked with
    "POST /v1/secret-scanning/alerts: token_hash",  # the shape of the partner who asks
    "POST /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/reveal: password",  # what it is for
    "POST /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/app-passwords: password",  # shown this once
    "POST /v1/workspaces/{workspace_id}/webhooks: secret",  # shown this once
    "POST /v1/workspaces/{workspace_id}/webhooks/{webhook_id}/rotate: secret",
    # Until when messages carry the old signature beside the new one.
    "POST /v1/workspaces/{workspace_id}/webhooks: previous_secret_until",
    "GET /v1/workspaces/{workspace_id}/webhooks: previous_secret_until",
    "GET /v1/workspaces/{workspace_id}/webhooks/{webhook_id}: previous_secret_until",
    "PATCH /v1/workspaces/{workspace_id}/webhooks/{webhook_id}: previous_secret_until",
    "POST /v1/workspaces/{workspace_id}/webhooks/{webhook_id}/rotate: previous_secret_until",
    # Counts and ids of passwords, and whether one opens.
    "GET /v1/workspaces/{workspace_id}/credential-reads: password_valid",
    "GET /v1/workspaces/{workspace_id}/credential-reads: app_password_ids",
    "POST /v1/workspaces/{workspace_id}/credential-reads/rotate: passwords",
    "POST /v1/workspaces/{workspace_id}/credential-reads/rotate: app_passwords",
    "GET /v1/workspaces/{workspace_id}/exports/{export_id}: main_password",  # which kind was asked for
    # Apple's key for "the same one", true or false
    "GET /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/client-profile: OutgoingPasswordSameAsIncomingPassword",
}
SHAPES_OF_OTHERS = ("POST /v1/webhooks/", "POST /v1/secret-scanning/alerts")
"""Signed by a vendor, who may send more than we read."""
PEOPLE: dict[str, Any] = {
    "POST /v1/workspaces": {"name": "Mill"},
    "POST /v1/auth/signup": {
        "email": "eve@people.test",
        "password": "a long sentence nobody says",
        "name": "Eve",
    },
    "POST /v1/auth/sessions": {"email": "eve@people.test", "password": "a long sentence nobody says"},
    "POST /v1/invitations/accept": {"token": "x"},
    "POST /v1/auth/confirm": {"token": "x"},
    "POST /v1/auth/password-reset": {"email": "eve@people.test"},
    "POST /v1/auth/password-reset/complete": {"token": "x", "password": "a long sentence nobody says"},
    "POST /v1/me/password": {"current_password": "x", "new_password": "a long sentence nobody says"},
    "POST /v1/me/second-factor": {"password": "x"},
    "POST /v1/me/second-factor/confirm": {"code": "123456"},
    "POST /v1/auth/sessions/current/step-up": {"password": "x"},
}


def writing(document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """`METHOD /path` of each operation with a JSON body, and the properties that it declares."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            if "application/json" in content:
                schema = content["application/json"]["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                yield f"{method.upper()} {path}", schema


async def test_properties_that_are_not_declared_are_refused_by_name_and_change_nothing(stage: Front) -> None:
    """Mass assignment: every route with a body, every property that somebody might wish for."""
    a = stage.world.a
    token = await stage.token(a.account_id)
    tried = 0
    for name, schema in writing(stage.gateway.documentation.document):
        if "properties" not in schema or name.startswith(SHAPES_OF_OTHERS):
            continue  # a union: each of its shapes forbids more (next test)
        if name in BODIES:
            path, body = await stage.request_of(name, a)
        elif name in PEOPLE:
            path, body = name.split(" ")[1], PEOPLE[name]
        else:
            continue
        if not isinstance(body, dict):
            continue
        for extra in NOT_FOR_CALLERS:
            if extra in schema["properties"]:
                continue
            answer = await stage.ask(
                token, name.split(" ")[0], path, {**body, extra: "owner"}, If_Match='"1"'
            )
            assert answer.status_code in (400, 422), (name, extra, answer.status_code, answer.text)
            tried += 1
    assert tried > 200
    after = await stage.ask(token, "GET", f"/v1/workspaces/{a.workspace_id}")
    assert (after.json()["name"], after.json()["version"]) == (a.name, 1)


async def test_every_body_that_the_api_takes_says_that_more_is_refused(stage: Front) -> None:
    """Nested objects as well: `additionalProperties: false` in each object that a caller sends."""
    document = stage.gateway.documentation.document
    open_ended: list[str] = []
    for name, schema in writing(document):
        for where, found in objects_in(schema, document, name):
            if where.startswith(SHAPES_OF_OTHERS):
                continue
            if found.get("additionalProperties", True) is not False:
                open_ended.append(where)
    assert open_ended == []


def objects_in(schema: dict[str, Any], document: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from objects_in(document["components"]["schemas"][name], document, f"{where} {name}")
        return
    if schema.get("type") == "object":
        yield where, schema
    for part in ("anyOf", "oneOf", "allOf"):
        for item in schema.get(part, ()):
            yield from objects_in(item, document, where)
    for name, item in schema.get("properties", {}).items():
        yield from objects_in(item, document, f"{where}.{name}")
    if isinstance(schema.get("items"), dict):
        yield from objects_in(schema["items"], document, f"{where}[]")


def names_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from names_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from names_in(item)


def names_of(answer: httpx.Response) -> set[str]:
    """Of JSON its members, of a file in XML its elements and keys."""
    if "json" in answer.headers["content-type"]:
        return set(names_in(answer.json()))
    return set(re.findall(r"<key>(\w+)", answer.text)) | set(re.findall(r"<(\w+)", answer.text))


async def test_no_answer_has_a_property_that_only_we_may_see(stage: Front) -> None:
    """Every GET of the API, asked by the owner about real things: no hash, no sealed key, no password."""
    a = stage.world.a
    token = await stage.token(a.account_id)
    asked = 0
    for path, item in stage.gateway.documentation.document["paths"].items():
        if "get" not in item or path.endswith("/events"):
            continue
        at, _ = await stage.request_of(f"GET {path}", a)
        if "{" in at or any(
            item.get("required") and item["in"] == "query" for item in item["get"].get("parameters", [])
        ):
            continue
        answer = await stage.ask(token, "GET", at)
        assert answer.status_code in (200, 404), (at, answer.status_code)
        if answer.status_code == 200:
            asked += 1
            bad = {f"GET {path}: {name}" for name in names_of(answer) if SECRET_NAMES.search(name)}
            assert bad <= SHOWN
    assert asked > 20


async def test_the_document_promises_no_such_property_either(stage: Front) -> None:
    """Answers of every operation, by their schemas; what is shown once is on the list."""
    document = stage.gateway.documentation.document
    bad = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                if not status.startswith("2"):
                    continue
                for content in response.get("content", {}).values():
                    for name in declared_names(content.get("schema", {}), document, set()):
                        if SECRET_NAMES.search(name):
                            bad.add(f"{method.upper()} {path}: {name}")
    assert bad <= SHOWN


def declared_names(schema: Any, document: Any, seen: set[str]) -> Iterator[str]:
    text = json.dumps(schema)
    for reference in re.findall(r"#/components/schemas/(\w+)", text):
        if reference not in seen:
            seen.add(reference)
            yield from declared_names(document["components"]["schemas"][reference], document, seen)
    stack = [schema]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield from item.get("properties", {})
            stack += item.values()
        elif isinstance(item, list):
            stack += item
