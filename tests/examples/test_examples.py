"""The examples of the public document are what the routes say today."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest
import pytest_asyncio

from gateway.examples import FILE, Examples
from gateway.openapi import operations
from tests.examples.house import House, house
from tests.examples.problems import PROBLEMS, problem
from tests.examples.record import of_route
from tests.examples.spelling import timeless
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.cases import CASES, Case

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXAMPLES = Examples.load()
AGAIN = "the answer is another: if that is meant, run python -m tests.examples.publish"
WITHOUT_SCHEMA = {
    "GET /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/client-profile 200": "Apple's format, or Mozilla's",
    "POST /v1/workspaces/{workspace_id}/exports/{export_id}/download 200": "the formats of password safes",
}
"""What is said in formats of others, of which the document tells no more than their names."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asked(
    service_database: ServiceDatabases, trust: Trust, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with house(service_database, trust, tmp_path_factory.mktemp("examples")) as made:
        yield made


@pytest.fixture
def document(asked: House) -> dict[str, Any]:
    """As the gateway gives it to everybody."""
    return asked.stage.gateway.documentation.document


# -- what the routes say -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_route_answers_as_its_example_says(asked: House, case: Case) -> None:
    fresh = await of_route(asked, case)
    assert timeless(fresh) == timeless(EXAMPLES.routes.get(case.name)), AGAIN


@pytest.mark.parametrize("code", PROBLEMS)
async def test_a_failure_looks_as_its_example_says(asked: House, code: str) -> None:
    fresh = await problem(asked, code)
    assert timeless(fresh) == timeless(EXAMPLES.problems.get(code)), AGAIN


# -- where they stand --------------------------------------------------------------------------------------------------


async def test_every_route_has_examples_of_its_body_and_its_success(document: dict[str, Any]) -> None:
    """And the answer that is shown is the one that the document calls a success."""
    missing = []
    for method, path, operation in operations(document):
        successes = {status: one for status, one in operation["responses"].items() if status < "4"}
        assert len(successes) == 1, f"{method} {path} has several successes: say here which one is shown"
        described = {"request": operation.get("requestBody", {}), **successes}
        for part, one in described.items():
            content = one.get("content", {})
            if content and not any("example" in media for media in content.values()):
                missing.append(f"{method} {path}: {part}")
    assert missing == []


async def test_nothing_is_kept_of_what_is_gone() -> None:
    assert list(EXAMPLES.routes) == [case.name for case in CASES]
    assert list(EXAMPLES.problems) == list(PROBLEMS)


async def test_every_example_is_what_the_schema_beside_it_allows(document: dict[str, Any]) -> None:
    judged: dict[tuple[str, str], list[str]] = {}
    for name, _, content in _contents(document):
        for example in _values(document, content):
            if name in WITHOUT_SCHEMA:
                continue
            one = json.dumps(content["schema"]), json.dumps(example)
            if one not in judged:
                errors = _validator(document, content["schema"]).iter_errors(example)
                judged[one] = [f"{name}: {error.message}" for error in errors]
    assert [line for lines in judged.values() for line in lines] == []
    assert len(judged) > len(CASES)


async def test_only_formats_of_others_have_no_schema(document: dict[str, Any]) -> None:
    assert {name for name, _, content in _contents(document) if not content.get("schema")} == set(
        WITHOUT_SCHEMA
    )


async def test_an_example_that_the_schema_does_not_allow_would_be_noticed(document: dict[str, Any]) -> None:
    validator = _validator(document, {"$ref": "#/components/schemas/AccountView"})
    good = EXAMPLES.routes["GET /v1/me"]["answer"]["application/json"]
    assert validator.is_valid(good)
    assert not validator.is_valid({**good, "created_at": "yesterday"})
    assert not validator.is_valid({name: value for name, value in good.items() if name != "email"})


async def test_every_problem_has_its_example_beside_it(document: dict[str, Any]) -> None:
    statuses = {str(one["status"]) for one in EXAMPLES.problems.values()}
    for name, media_type, content in _contents(document):
        status = name.rpartition(" ")[2]
        if media_type == "application/problem+json" and (status == "default" or status in statuses):
            assert content["examples"], name
    me = document["paths"]["/v1/me"]["get"]["responses"]
    assert set(me["401"]["content"]["application/problem+json"]["examples"]) == {
        "unauthenticated",
        "step_up_required",
    }
    assert set(me["default"]["content"]["application/problem+json"]["examples"]) == {
        "too_many_requests",
        "unavailable",
    }


@pytest.mark.asvs("15.3.1")
async def test_an_answer_holds_nothing_that_its_schema_does_not_name(document: dict[str, Any]) -> None:
    """No row leaves as it is: an answer is a model of its own, and only what that declares is in it."""
    found = []
    for name, _, content in _contents(document):
        if name not in WITHOUT_SCHEMA and "example" in content and not name.endswith("request"):
            found += [f"{name} {at}" for at in undeclared(document, content["schema"], content["example"])]
    assert found == []


async def test_a_member_that_the_schema_does_not_name_would_be_noticed(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Page_WorkspaceView_"}
    page = EXAMPLES.routes["GET /v1/workspaces"]["answer"]["application/json"]
    assert undeclared(document, schema, page) == []
    more = {**page, "items": [{**page["items"][0], "created_by": "usr_1"}]}
    assert undeclared(document, schema, more) == [".items[].created_by"]


# -- what must not be in them ------------------------------------------------------------------------------------------


async def test_no_example_holds_what_could_be_taken_for_a_secret() -> None:
    """No key of ours, no token with three parts, nothing long and without a pattern; no name outside of RFC 2606."""
    text = FILE.read_text("utf-8")
    for needle in (
        "sc_live_0",
        "sc_rt_",
        "eyJ",
        "whsec_",
        "sk_test",
        "rk_test",
        '.test"',
        "https://127.0.0.1",
    ):
        assert needle not in text


def undeclared(document: dict[str, Any], schema: dict[str, Any], value: Any, at: str = "") -> list[str]:
    """Members of objects that the schema does not name, where it names any; free-form objects are what they are."""
    if "$ref" in schema:
        return undeclared(
            document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], value, at
        )
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one.get("type") in (None, "object", "array")]
        return min((undeclared(document, one, value, at) for one in kinds), key=len, default=[])
    if isinstance(value, list):
        found = {
            name for one in value for name in undeclared(document, schema.get("items", {}), one, f"{at}[]")
        }
        return sorted(found)
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    members = schema["properties"]
    inner = [
        undeclared(document, members[name], one, f"{at}.{name}")
        for name, one in value.items()
        if name in members
    ]
    return [f"{at}.{name}" for name in value if name not in members] + [
        name for names in inner for name in names
    ]


def _validator(document: dict[str, Any], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    schemas = {"components": {"schemas": document["components"]["schemas"]}}
    return jsonschema_rs.Draft202012Validator({**schema, **schemas}, validate_formats=True)


def _contents(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(route and part, media type, what the document says of it)"""
    found = []
    for method, path, operation in operations(document):
        parts = {"request": operation.get("requestBody", {}), **operation["responses"]}
        for part, one in parts.items():
            for media_type, content in one.get("content", {}).items():
                found.append((f"{method} {path} {part}", media_type, content))
    return found


def _values(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    named = [one["$ref"].rpartition("/")[2] for one in content.get("examples", {}).values()]
    own = [content["example"]] if "example" in content else []
    return own + [document["components"]["examples"][name]["value"] for name in named]
