"""API7:2023 Server Side Request Forgery: nobody from outside tells us where to connect to, but for webhooks.

Where those may lead: `tests/shared/http/test_public.py`, `tests/auth/webhooks/test_receivers.py`.
Names that we do look up are held to public ones: `tests/dns/test_special_use.py`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.http import vendor_client
from shared.http.client import vendor_request
from tests.owasp.front import Front

PLACES = re.compile(
    r"url|uri|host|address|endpoint|callback|webhook|target|server$|domain|origin|redirect|proxy|ip$|network",
    re.I,
)
REVIEWED = {
    "target",  # of audit rows: compared with
    "allowed_networks",  # CIDR ranges that a key is compared with; nothing is connected to
    "url",  # of webhooks, the one thing that is connected to: `shared/http/public.py`
}
"""Properties with such a name that callers may send, each with what becomes of it."""


def sent_names(document: Any) -> Iterator[tuple[str, str]]:
    """(route, name) of everything that a caller can say beside ids in paths."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            route = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    yield route, parameter["name"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for name in names_below(content["schema"], document, frozenset()):
                    yield route, name


def names_below(schema: Any, document: Any, seen: frozenset[str]) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from names_below(item, document, seen)
    elif isinstance(schema, dict):
        reference = schema.get("$ref", "").rpartition("/")[2]
        if reference and reference not in seen:
            yield from names_below(document["components"]["schemas"][reference], document, seen | {reference})
        yield from schema.get("properties", {})
        for name, item in schema.items():
            if name != "$ref":
                yield from names_below(item, document, seen)


async def test_the_api_takes_no_address_to_connect_to(stage: Front) -> None:
    """A new property that names a place fails here until somebody has looked at what we do with it."""
    named = {
        f"{route}: {name}"
        for route, name in sent_names(stage.gateway.documentation.document)
        if PLACES.search(name)
        and name not in REVIEWED
        and not route.startswith(("POST /v1/webhooks/", "POST /v1/secret-"))
    }
    assert named == set()


INWARD = (
    "127.0.0.1", "169.254.169.254", "[::1]", "::1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1",
    "http://169.254.169.254/latest/meta-data", "example.test:8080", "user@example.test", "example.test/path",
    "example.test?x", "example.test#x", "a..test", "-a.test", "localhost", "com", "*.example.test", "exa mple.test",
    "example.test\r\nHost: x", "example.test\x00.x", "\u2488\u24ea.test",
)  # fmt: skip


async def test_a_webhook_leads_to_a_named_host_on_the_internet(stage: Front) -> None:
    a = stage.world.a
    token = await stage.owner(a)
    for place in (
        *(f"https://{name}/" for name in INWARD if "://" not in name),
        *INWARD,
        "http://customer.com/",
    ):
        if place == "https://example.test/path/":  # a path belongs to a URL; the stage has names under .test
            continue
        body = {"url": place, "events": ["server.ready"]}
        answer = await stage.ask(token, "POST", f"/v1/workspaces/{a.workspace_id}/webhooks", body)
        assert answer.status_code in (400, 422), (place, answer.status_code, answer.text)


async def test_a_zone_is_a_name_and_nothing_else(stage: Front) -> None:
    a = stage.world.a
    token = await stage.owner(a)
    for name in INWARD:
        answer = await stage.ask(
            token, "POST", f"/v1/workspaces/{a.workspace_id}/zones", {"name": name, "method": "txt"}
        )
        assert answer.status_code in (400, 422), (name, answer.status_code, answer.text)


@pytest.mark.parametrize(
    "target",
    [
        b"http://169.254.169.254/latest/meta-data/",
        b"//169.254.169.254/v1/me",
        b"/v1/me@169.254.169.254/",
        b"/v1//169.254.169.254/",
        b"169.254.169.254:80",
        b"*",
    ],
)
async def test_the_gateway_is_nobody_s_proxy(stage: Front, target: bytes) -> None:
    """A request line may name another server (RFC 9112 3.2.2): it is not asked."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https",
        "path": target.decode(), "raw_path": target, "query_string": b"", "root_path": "",
        "headers": [(b"host", b"169.254.169.254")], "client": None, "server": None,
    }  # fmt: skip
    await stage.gateway(scope, receive, send)
    assert sent[0]["status"] in (400, 404)


async def test_the_host_header_and_its_like_choose_no_upstream(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    plain = await stage.ask(token, "GET", "/v1/me")
    for headers in (
        {"Host": "169.254.169.254"},
        {"X_Forwarded_Host": "169.254.169.254"},
        {"Forwarded": "host=169.254.169.254"},
        {"X_Original_URL": "http://169.254.169.254/"},
    ):
        answer = await stage.ask(token, "GET", "/v1/me", None, **headers)
        assert answer.status_code in (200, 400)
        assert answer.status_code == 400 or answer.json() == plain.json()


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server's URL, and the requests that it got."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", got
    finally:
        server.close()


async def test_a_vendor_that_redirects_us_is_not_followed_and_the_environment_names_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (inside, asked):
        redirect = f"HTTP/1.1 307 Moved\r\nLocation: {inside}/secret\r\nContent-Length: 0\r\n\r\n".encode()
        async with listening(redirect) as (vendor, _):
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
                monkeypatch.setenv(name, inside)
            async with vendor_client(vendor) as client:
                answer = await vendor_request(client, "GET", "/", vendor="vendor")
        assert answer.status_code == 307
        assert asked == []
