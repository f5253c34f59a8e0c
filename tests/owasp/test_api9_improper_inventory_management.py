"""API9:2023 Improper Inventory Management: what answers is what is listed, documented and meant for the public."""

from __future__ import annotations

import re
from typing import Any

from tests.isolation.cases import TABLE
from tests.owasp.front import Front

WITHOUT_SIGN_IN = {
    "POST /v1/auth/signup",
    "POST /v1/auth/confirm",
    "POST /v1/auth/sessions",
    "POST /v1/auth/sessions/refresh",
    "GET /v1/auth/jwks",
    "POST /v1/auth/password-reset",
    "POST /v1/auth/password-reset/complete",
    "POST /v1/webhooks/stripe",
}
"""By hand: whoever opens another route to everybody says so here as well."""
MORE_WITHOUT_SIGN_IN = re.compile(
    r"POST /v1/(secret-scanning/alerts|webhooks/\w+|mail/unsubscribe.*|auth/email-change/\w+|me/email/\w+)$"
    r"|(GET|POST) /v1/\S*unsubscribe\S*"
)
"""Signed by a vendor, or by a link out of one of our mails."""


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


async def test_the_document_the_table_and_what_answers_are_one(stage: Front) -> None:
    documented = operations((await stage.client.get("/v1/openapi.json")).json())
    listed = {f"{route.method} {route.path}" for route in TABLE.routes}
    assert set(documented) == listed
    for route in TABLE.routes:
        path = re.sub(r"\{\w+\}", "x", route.path)
        answer = await stage.ask(None, route.method, path, {} if route.method != "GET" else None)
        assert answer.status_code != 405, path
        if route.access != "public":
            assert answer.status_code == 401, path


async def test_what_is_open_to_everybody_is_on_a_second_list(stage: Front) -> None:
    documented = operations(stage.gateway.documentation.document)
    opened = {name for name, operation in documented.items() if operation["security"] == []}
    assert {name for name in opened - WITHOUT_SIGN_IN if not MORE_WITHOUT_SIGN_IN.match(name)} == set()
    assert opened >= WITHOUT_SIGN_IN


async def test_every_operation_is_described(stage: Front) -> None:
    bare = [
        name
        for name, operation in operations(stage.gateway.documentation.document).items()
        if not operation.get("summary") or not operation.get("tags") or not operation.get("operationId")
    ]
    assert bare == []


async def test_other_versions_and_old_paths_do_not_exist(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    for path in (
        "/v0/me", "/v2/me", "/V1/me", "/api/v1/me", "/v1.0/me", "/v1/v1/me", "/me", "/v1/me/", "/v1//me", "/v1/ME",
        "/v1/me.json", "/v1/me;v=2", "/beta/me", "/internal/me", "/test/me", "/v1/%2e/me", "/v1/%6de",
    ):  # fmt: skip
        answer = await stage.ask(token, "GET", path)
        assert answer.status_code in (400, 404), path


async def test_a_version_asked_for_in_another_way_changes_nothing(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    plain = (await stage.ask(token, "GET", "/v1/me")).json()
    for headers in (
        {"Accept": "application/vnd.sendchief.v0+json"},
        {"X_API_Version": "0"},
        {"Stripe_Version": "2010"},
    ):
        answer = await stage.ask(token, "GET", "/v1/me", None, **headers)
        assert (answer.status_code, answer.json()) == (200, plain)


async def test_what_is_deprecated_says_until_when(stage: Front) -> None:
    """RFC 9745, RFC 8594: an operation marked deprecated names its end in the document."""
    for name, operation in operations(stage.gateway.documentation.document).items():
        if operation.get("deprecated"):
            assert "x-sunset" in operation, name
