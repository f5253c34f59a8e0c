"""Positive validation, with the services' real documents: only declared parameters, ids and bodies go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filter import strict_json
from gateway.filter.body import BodyReader, BodyTooSlow
from gateway.filter.declared import check_of, declarations
from gateway.openapi import operations
from gateway.pool import ServiceDown
from shared.errors import Unavailable
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, served
from tests.isolation.services import available, documents_of

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="session")
def documents(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents_of(available(), trust, tmp_path_factory.mktemp("documents"))


class Stage:
    def __init__(self, made: Edge, echo: Echo) -> None:
        self.made, self.echo, self.client = made, echo, made.client
        account, workspace = new_id("usr"), new_id("ws")
        made.know({(account, workspace): "owner"})
        self.person = {**made.person(account), "Idempotency-Key": "1"}
        self.path = f"/v1/workspaces/{workspace}"


@pytest.fixture
async def stage(trust: Trust, tmp_path: Path, documents: dict[str, Any]) -> AsyncIterator[Stage]:
    echo = Echo()
    async with (
        served(echo, tmp_path / "auth.sock"),
        served(echo, tmp_path / "provisioner.sock"),
        edge(trust, tmp_path) as made,
    ):
        made.gateway.documentation.declared = declarations(documents)
        yield Stage(made, echo)


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("admin=true", "query.admin"),
        ("limit=0", "query.limit"),
        ("limit=101", "query.limit"),
        ("limit=1e1", "query.limit"),
        ("limit=+5", "query.limit"),
        ("limit=", "query.limit"),
        ("limit", "query.limit"),
        ("Limit=5", "query.Limit"),
        ("limit=5&l%69mit=100", "query.limit"),
        ("cursor=" + "a" * 513, "query.cursor"),
        ("action=drop%20table", "query.action"),
        ("action=members.invite%0A", "query.action"),
        ("target=../x", "query.target"),
        ("$where=1", "query.$where"),
    ],
)
async def test_a_parameter_that_is_not_declared_or_not_of_its_kind_is_refused(
    stage: Stage, query: str, field: str
) -> None:
    answer = await stage.client.get(f"{stage.path}/audit?{query}", headers=stage.person)
    expected = {400, 422} if "%0A" in query else {422}
    assert answer.status_code in expected, answer.text
    if answer.status_code == 422:
        assert answer.json()["errors"][0]["field"] == field
        assert answer.json()["next_action"]
    assert not stage.echo.seen


async def test_declared_parameters_of_their_kind_go_on(stage: Stage) -> None:
    query = f"limit=5&cursor=WyJhIl0&action=members.invite&target={new_id('usr')}"
    answer = await stage.client.get(f"{stage.path}/audit?{query}", headers=stage.person)
    assert answer.status_code == 200
    assert stage.echo.seen[-1]["query"] == query


@pytest.mark.asvs("2.2.1")
@pytest.mark.parametrize(
    "identifier", ["1", "srv_1", "srv_" + "G" * 32, "usr_" + "0" * 32, "srv_" + "0" * 33]
)
async def test_a_malformed_id_gets_the_bytes_of_an_unknown_route(stage: Stage, identifier: str) -> None:
    answer = await stage.client.get(f"{stage.path}/servers/{identifier}", headers=stage.person)
    unknown = await stage.client.get("/v1/nothing", headers=stage.person)
    assert (answer.status_code, answer.content) == (404, unknown.content)
    assert not stage.echo.seen


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/json", b'{"name":"a","name":"b"}', 400, "bad_json"),
        ("application/json", b'{"name":NaN}', 400, "bad_json"),
        ("application/json", b"not json", 400, "bad_json"),
        ("application/x-www-form-urlencoded", b"name=a", 415, "unsupported_media_type"),
        ("text/plain", b'{"name":"a"}', 415, "unsupported_media_type"),
        ("application/json; charset=utf-7", b'{"name":"a"}', 415, "unsupported_media_type"),
        ("", b'{"name":"a"}', 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", b"--x--", 415, "unsupported_media_type"),
    ],
)
async def test_a_body_of_another_kind_or_with_two_meanings_is_refused(
    stage: Stage, kind: str, body: bytes, status: int, code: str
) -> None:
    headers = {**stage.person, "Content-Type": kind}
    answer = await stage.client.post("/v1/workspaces", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not stage.echo.seen


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"']
)
async def test_a_json_body_goes_on_byte_for_byte(stage: Stage, kind: str) -> None:
    body = b' {"name" : "\\u00e4 \xc3\xa4",\n"n":1.0 } '
    headers = {**stage.person, "Content-Type": kind}
    assert (await stage.client.post("/v1/workspaces", content=body, headers=headers)).status_code == 200
    assert stage.echo.seen[-1]["body"] == body
    assert stage.echo.last_headers()["content-length"] == str(len(body))


async def test_a_body_in_pieces_without_a_length_is_judged_whole(stage: Stage) -> None:
    async def pieces(parts: list[bytes]) -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    good = await stage.client.post(
        "/v1/workspaces", content=pieces([b'{"na', b'me":"a"}']), headers={**stage.person, **JSON}
    )
    assert (good.status_code, stage.echo.seen[-1]["body"]) == (200, b'{"name":"a"}')
    bad = await stage.client.post(
        "/v1/workspaces", content=pieces([b'{"name":1,', b'"name":2}']), headers={**stage.person, **JSON}
    )
    assert bad.status_code == 400
    large = await stage.client.post(
        "/v1/workspaces", content=pieces([b" " * 600_000] * 2), headers={**stage.person, **JSON}
    )
    assert large.status_code == 413
    assert len(stage.echo.seen) == 1


async def test_a_compressed_body_is_refused(stage: Stage) -> None:
    headers = {**stage.person, **JSON, "Content-Encoding": "gzip"}
    answer = await stage.client.post("/v1/workspaces", content=b"\x1f\x8b", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_encoding")


async def test_a_route_without_a_body_takes_none(stage: Stage) -> None:
    path = f"{stage.path}/servers"
    refused = await stage.client.request("GET", path, json={"a": 1}, headers=stage.person)
    assert (refused.status_code, refused.json()["code"]) == (400, "unexpected_body")

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    async def something() -> AsyncIterator[bytes]:
        yield b"x"

    assert (
        await stage.client.request("GET", path, content=nothing(), headers=stage.person)
    ).status_code == 200
    chunked = await stage.client.request("GET", path, content=something(), headers=stage.person)
    assert (chunked.status_code, chunked.json()["code"]) == (400, "unexpected_body")
    habit = await stage.client.post("/v1/auth/sessions/refresh", json={})
    assert (habit.status_code, stage.echo.seen[-1]["body"]) == (200, b"")
    assert len(stage.echo.seen) == 2


async def test_a_signed_body_is_left_to_its_signature(stage: Stage) -> None:
    body = b'{"id":"evt_1","id":"evt_1","large":123456789012345678901}'
    headers = {**JSON, "Stripe-Signature": "t=1,v1=x"}
    answer = await stage.client.post("/v1/webhooks/stripe", content=body, headers=headers)
    assert (answer.status_code, stage.echo.seen[-1]["body"]) == (200, body)
    other = await stage.client.post(
        "/v1/webhooks/stripe", content=body, headers={"Content-Type": "text/plain"}
    )
    assert other.status_code == 415


async def test_what_may_not_be_asked_is_refused_before_it_is_looked_at(stage: Stage) -> None:
    foreign = f"/v1/workspaces/{new_id('ws')}"
    answer = await stage.client.post(f"{foreign}/invitations", content=b"{", headers={**stage.person, **JSON})
    assert answer.status_code == 404
    assert (await stage.client.get(f"{stage.path}/audit?x=1")).status_code == 401


@pytest.mark.asvs("3.5.2")
async def test_a_page_elsewhere_cannot_use_somebodys_browser(stage: Stage) -> None:
    for site, status in (("cross-site", 403), ("same-origin", 200), ("none", 200)):
        answer = await stage.client.get("/v1/auth/jwks", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == status


async def test_a_service_without_a_document_is_not_examined_and_the_others_are(
    trust: Trust, tmp_path: Path, documents: dict[str, Any]
) -> None:
    async def fetch(service: str, path: str) -> Any:
        if service == "auth":
            raise ServiceDown("away")
        return documents[service]

    async with edge(trust, tmp_path) as made:
        documentation = made.gateway.documentation
        documentation._fetch = fetch
        assert await documentation.check() is False
        services = {route.service for route in made.gateway.table.routes
                    if (route.method, route.path) in documentation.declared}  # fmt: skip
        assert services == set(available()) - {"auth"}


async def test_a_service_cannot_declare_anothers_routes(
    trust: Trust, tmp_path: Path, documents: dict[str, Any]
) -> None:
    async def fetch(service: str, path: str) -> Any:
        if service != "dns":
            return documents[service]
        forged = json.loads(json.dumps(documents["dns"]))
        forged["paths"]["/v1/auth/sessions"] = {"post": {"x-signed-body": True}}
        return forged

    async with edge(trust, tmp_path) as made:
        made.gateway.documentation._fetch = fetch
        await made.gateway.documentation.check()
        found = made.gateway.documentation.declared["POST", "/v1/auth/sessions"]
        assert found.secrets >= {"password"}
        assert not found.signed_body


def test_every_route_that_takes_a_password_says_so(documents: dict[str, Any]) -> None:
    found = declarations(documents)
    assert found["POST", "/v1/auth/sessions"].secrets >= {"password"}
    assert found["POST", "/v1/auth/confirm"].secrets == {"token"}
    assert found["POST", "/v1/workspaces/{workspace_id}/provider-tokens"].secrets == {"token"}


def test_every_member_that_is_named_like_a_secret_is_declared_as_one(documents: dict[str, Any]) -> None:
    """Declared as SecretStr it is not in the service's own logs either."""
    for document in documents.values():
        schemas = document["components"]["schemas"]
        for (method, path), declaration in declarations({"one": document}).items():
            content = document["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
            name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
            named = {
                member
                for member in schemas.get(name, {}).get("properties", {})
                if member
                in ("password", "new_password", "current_password", "token", "code", "recovery_code")
            }
            assert named <= declaration.secrets, f"{method} {path}"


@given(st.text(min_size=1, max_size=200).filter(lambda text: "\0" not in text))
def test_whatever_people_write_is_read_without_a_word(text: str) -> None:
    """Free text of any script goes on byte for byte; only U+0000 and half surrogates do not."""
    body = json.dumps({"reason": text}).encode()
    assert strict_json.read(body)[0] == {"reason": text}
    assert strict_json.read(json.dumps({"reason": text}, ensure_ascii=False).encode())[0] == {"reason": text}


def test_every_body_is_declared_as_json_but_that_of_the_one_click_of_mail_programs(
    documents: dict[str, Any],
) -> None:
    """RFC 8058 has them send a form; whatever else is not JSON would not be read by the filter."""
    others = [
        route
        for route, declaration in declarations(documents).items()
        if not declaration.media_types <= {"application/json"}
    ]
    assert others == [("POST", "/v1/unsubscribe")]


async def test_mail_programs_and_links_in_mails_get_through(stage: Stage) -> None:
    path = "/v1/unsubscribe?token=a.b.c"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    clicked = await stage.client.post(path, content=b"List-Unsubscribe=One-Click", headers=form)
    assert (clicked.status_code, stage.echo.seen[-1]["body"]) == (200, b"List-Unsubscribe=One-Click")
    for method, status in (("GET", 200), ("POST", 403)):
        answer = await stage.client.request(method, path, headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == status


def test_every_webhook_of_a_vendor_declares_its_body(documents: dict[str, Any]) -> None:
    """A route that reads the raw body itself is not seen by FastAPI: it has to say so (shared/web/signed_body.py)."""
    hooks = [
        operation
        for document in documents.values()
        for method, path, operation in operations(document)
        if method == "POST" and path.startswith(("/v1/webhooks/", "/v1/secret-scanning/"))
    ]
    assert hooks
    assert all("requestBody" in operation for operation in hooks)


def test_kinds_that_are_not_understood_let_pass() -> None:
    assert check_of({})("anything")
    assert check_of({"type": "array", "items": {"type": "string"}})("a,b")
    assert not check_of({"type": "boolean"})("maybe")
    assert not check_of({"const": "a"})("b")


async def test_a_body_that_drips_is_given_up_and_many_of_them_do_not_fill_the_memory() -> None:
    async def drip() -> Any:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(BodyTooSlow):
        await BodyReader(1000, 0.05, 10_000).read(drip)
    reader = BodyReader(1000, 0.5, 50)
    results = await asyncio.gather(*(reader.read(drip) for _ in range(20)), return_exceptions=True)
    assert any(isinstance(result, Unavailable) for result in results)
    assert reader._held == 0


@pytest.mark.asvs("2.1.1")
def test_a_declaration_has_no_more_than_the_document_says() -> None:
    document = {"paths": {"/v1/x": {"get": {"parameters": []}}, "/internal/y": {"get": {}}}}
    assert list(declarations({"auth": json.loads(json.dumps(document))})) == [("GET", "/v1/x")]
