"""Heads that were read before: they say the same again, hide nothing, change nothing, and are few."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from gateway import head as heads
from gateway.inbound import Inbound
from gateway.request import Request
from tests.gateway.edge import eventually
from tests.gateway.inbound import HOST, App, get, listening, told


async def test_a_head_that_was_read_before_says_the_same_again(tmp_path: Path) -> None:
    app = App()
    async with listening(app, tmp_path / "s"):
        for path in (b"/a", b"/a", b"/b?c=d"):
            await told(tmp_path / "s", get(path, b"Authorization: Bearer x\r\nX-A:  y\r\n"))
    assert len(app.known_heads._known) == 1
    assert [(path, query) for _, path, query, _, _ in app.seen] == [
        (b"/a", b""),
        (b"/a", b""),
        (b"/b", b"c=d"),
    ]
    assert {tuple(headers) for _, _, _, headers, _ in app.seen} == {
        ((b"host", b"sendchief.test"), (b"authorization", b"Bearer x"), (b"x-a", b"y"))
    }


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n{}",
        b"GET /a HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        b"GET /a HTTP/1.0\r\n" + HOST + b"\r\n",
        b"\r\n" + get(b"/a"),
        b"GET http://inner/a HTTP/1.1\r\n" + HOST + b"\r\n",
        get(b"/a") + get(b"/a"),
        get(b"/a", b"X-A: " + b"a" * heads.MAX_BLOCK_BYTES + b"\r\n"),
    ],
)
async def test_only_plain_requests_without_a_body_make_a_head_known(request_: bytes, tmp_path: Path) -> None:
    app = App()
    async with listening(app, tmp_path / "s"):
        assert b"200 OK" in await told(tmp_path / "s", request_)
    assert app.known_heads._known == {}


@pytest.mark.asvs("4.2.1")
async def test_a_known_head_hides_nothing_that_follows_it(tmp_path: Path) -> None:
    app = App()
    async with listening(app, tmp_path / "s"):
        await told(tmp_path / "s", get(b"/a"))
        answer = await told(tmp_path / "s", get(b"/a") + get(b"/hidden"))
        assert answer.count(b"200 OK") == 2
        assert b"400 Bad Request" in await told(tmp_path / "s", get(b"/a") + b"hidden")
        assert b"400 Bad Request" in await told(tmp_path / "s", get(b"/a b"))
    assert [path for _, path, _, _, _ in app.seen] == [b"/a", b"/a", b"/hidden", b"/a"]


LINES = st.sampled_from(
    [
        b"GET /a HTTP/1.1\r\n", b"GET /a?b=c HTTP/1.1\r\n", b"GET /a?b=c#d HTTP/1.1\r\n", b"GET //a HTTP/1.1\r\n",
        b"GET /a HTTP/1.0\r\n", b"GET /a HTTP/1.1\n", b"GET  /a HTTP/1.1\r\n", b"\r\nGET /a HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\n", b"GET /a\r\n", b"GET * HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n",
        b"GET /a HTTP/1.1\r\nX-B: c\r\n",
    ]
)  # fmt: skip
PARTS = st.sampled_from(
    [
        HOST, b"X-A: b\r\n", b"X-A : b\r\n", b"X-A: b\n", b" folded\r\n", b"Content-Length: 0\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n", b"\r\n",
        b"Expect: 100-continue\r\n", b"X\x00: y\r\n", b"X: \x0b\r\n", b"GET /b HTTP/1.1\r\n", b"0\r\n\r\n", b"abc",
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(st.tuples(LINES, st.lists(PARTS, max_size=5))),
    line=LINES,
    parts=st.lists(PARTS, max_size=5),
)
@example([(b"GET /a HTTP/1.1\n", [b"X-A: b\r\n", HOST])], b"GET /a HTTP/1.1\r\n", [HOST])
@example([(b"\r\nGET /a HTTP/1.1\r\n", [HOST])], b"GET /b HTTP/1.1\r\n", [b"GET /a HTTP/1.1\r\n", HOST])
async def test_what_was_known_before_never_changes_how_bytes_are_read(
    before: list[tuple[bytes, list[bytes]]], line: bytes, parts: list[bytes]
) -> None:
    """The same bytes to a gateway that has seen others, each a connection of its own, and to one that has not."""
    data = line + b"".join(parts) + b"\r\n"
    experienced, fresh = Fed(), Fed()
    for other_line, other_parts in before:
        experienced.take(other_line + b"".join(other_parts) + b"\r\n")
    experienced.take(line + b"".join(parts) + b"\r\n")
    assert experienced.take(data) == fresh.take(data)


class Fed:
    """Connections without a network, to one gateway: what its application is given, and whether they are closed."""

    def __init__(self) -> None:
        self._app = App()
        self._config = uvicorn.Config(self._app, interface="asgi3", proxy_headers=False, log_config=None)
        self._config.load()

    def take(self, data: bytes) -> tuple[Any, ...]:
        transport, inbound = Sink(), Inbound(self._config, ServerState(), {})
        inbound._timer.cancel()
        asked: list[Request] = []

        def take_up(request: Request) -> None:
            inbound._answering = request
            asked.append(request)

        inbound._answer = take_up  # type: ignore[method-assign]
        inbound.connection_made(transport)
        inbound.data_received(data)
        asked += inbound._waiting
        found = [
            (one.method, one.path, one.query, one.head.headers, one.keep_alive, one._body, one._more)
            for one in asked
        ]
        return found, transport.closed, inbound._between, inbound._refused


class Sink(asyncio.Transport):
    closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        pass

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass


async def test_known_heads_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "FORGET_SECONDS", 0.05)
    app = App()
    async with listening(app, tmp_path / "s"):
        await told(tmp_path / "s", get(b"/a"))
        await eventually(lambda: not app.known_heads._known)
        await told(tmp_path / "s", get(b"/a"))
        await eventually(lambda: not app.known_heads._known)
    assert len(app.seen) == 2


async def test_known_heads_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MAX_KNOWN", 3)
    app = App()
    async with listening(app, tmp_path / "s"):
        for number in range(10):
            await told(tmp_path / "s", get(b"/a", b"X-A: %d\r\n" % number))
            assert 1 <= len(app.known_heads._known) <= 3
