"""The gateway's own side of HTTP/1.1, over real sockets: what it reads, what it sends, when it hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from gateway import head as heads
from gateway.head import KnownHeads
from gateway.inbound import Inbound
from tests.gateway.edge import eventually

HOST = b"Host: sendchief.test\r\n"


class App:
    """Notes what it is asked, and answers `ok`, or as `answer` does."""

    def __init__(self, answer: Callable[[Any, Any, Any], Awaitable[None]] | None = None) -> None:
        self.known_heads = KnownHeads()
        self.seen: list[tuple[str, bytes, bytes, list[tuple[bytes, bytes]], bytes]] = []
        self._answer = answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._answer is not None:
            await self._answer(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        headers = list(scope["headers"])
        self.seen.append((scope["method"], scope["raw_path"], scope["query_string"], headers, body))
        await say(send, b"ok")


async def say(send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(app: App, socket: Path, *, keep_alive: int = 75) -> AsyncIterator[ServerState]:
    config = uvicorn.Config(
        app, interface="asgi3", proxy_headers=False, log_config=None, timeout_keep_alive=keep_alive
    )  # type: ignore[arg-type]
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Inbound(config, state, {}), str(socket))
    try:
        yield state
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        await eventually(lambda: not state.connections)


async def told(socket: Path, *pieces: bytes) -> bytes:
    """All that comes back for these pieces, sent one by one, until half a second of silence or the end."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    answer = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while True:
            async with asyncio.timeout(0.3 if answer else 3):
                got = await reader.read(65536)
            if not got:
                return answer + b"<end>"
            answer += got
    except TimeoutError:
        return answer
    finally:
        writer.transport.abort()


def get(path: bytes, *more: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(more) + b"\r\n"


# -- reading -------------------------------------------------------------------------------------------------------


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
        self._config = uvicorn.Config(self._app, interface="asgi3", proxy_headers=False, log_config=None)  # type: ignore[arg-type]
        self._config.load()

    def take(self, data: bytes) -> tuple[Any, ...]:
        transport, inbound = Sink(), Inbound(self._config, ServerState(), {})
        inbound._timer.cancel()
        asked: list[Any] = []
        inbound._answer = lambda request: (setattr(inbound, "_answering", request), asked.append(request))  # type: ignore[method-assign, assignment]
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


async def test_a_request_may_come_byte_by_byte(tmp_path: Path) -> None:
    app = App()
    whole = b"POST /a?b HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    async with listening(app, tmp_path / "s"):
        answer = await told(tmp_path / "s", *(bytes([byte]) for byte in whole))
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert (app.seen[0][:3], app.seen[0][4]) == (("POST", b"/a", b"b"), b"{}")


async def test_requests_that_come_at_once_are_answered_in_their_order(tmp_path: Path) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["raw_path"] == b"/slow":
            await asyncio.sleep(0.05)
        await say(send, scope["raw_path"])

    async with listening(App(answer), tmp_path / "s"):
        got = await told(tmp_path / "s", get(b"/slow") + get(b"/b") + get(b"/c"))
    assert [part.partition(b"\r\n\r\n")[2] for part in got.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"/slow",
        b"/b",
        b"/c",
    ]


async def test_what_is_no_http_is_refused_after_what_was(tmp_path: Path) -> None:
    async with listening(App(), tmp_path / "s"):
        got = await told(tmp_path / "s", get(b"/a") + b"\x16\x03\x01")
    first, _, second = got.partition(b"ok")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert second.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"application/problem+json" in second
    assert b"strict-transport-security" in second
    assert second.endswith(b"<end>")


async def test_a_body_that_is_no_http_is_refused_and_the_application_is_told(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    head = b"POST /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    async with listening(App(answer), tmp_path / "s"):
        got = await told(tmp_path / "s", head, b"2\r\n{}\r\n", b"xyz\r\n")
        await asyncio.wait_for(gone.wait(), 5)
    assert got.startswith(b"HTTP/1.1 400 Bad Request")
    assert got.endswith(b"<end>")


async def test_a_body_is_only_read_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    go_on, asked = asyncio.Event(), asyncio.Event()
    sizes: list[int] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        await go_on.wait()
        more = True
        while more:
            message = await receive()
            sizes.append(len(message["body"]))
            more = message["more_body"]
        await say(send, b"%d" % sum(sizes))

    size = 8 * 1024 * 1024
    async with listening(App(answer), tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b"POST /a HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size + b"a" * size)
        await asked.wait()
        await asyncio.sleep(0.1)
        assert writer.transport.get_write_buffer_size() > size // 2
        go_on.set()
        assert (await reader.readuntil(b"%d" % size)).startswith(b"HTTP/1.1 200 OK")
        assert max(sizes) <= 1024 * 1024
        writer.transport.abort()


async def test_who_waits_for_a_word_before_his_body_gets_it(tmp_path: Path) -> None:
    app = App()
    head = b"POST /a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with listening(app, tmp_path / "s"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK")
        writer.transport.abort()


# -- answering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_", [get(b"/a", b"Connection: close\r\n"), get(b"/a").replace(b"1.1", b"1.0", 1)]
)
async def test_a_connection_that_is_not_kept_is_closed_after_the_answer(
    request_: bytes, tmp_path: Path
) -> None:
    async with listening(App(), tmp_path / "s"):
        got = await told(tmp_path / "s", request_)
    assert b"connection: close\r\n" in got
    assert got.endswith(b"ok<end>")


async def test_an_answer_of_unknown_length_is_chunked(tmp_path: Path) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with listening(App(answer), tmp_path / "s"):
        got = await told(tmp_path / "s", get(b"/a"))
    assert got == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"


async def test_an_answer_that_is_there_as_a_whole_is_framed_as_any_other(tmp_path: Path) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        assert scope["whole"](200, b"x-a: b\r\n", b"ok")

    async with listening(App(answer), tmp_path / "s"):
        got = await told(tmp_path / "s", get(b"/a") + get(b"/b", b"Connection: close\r\n"))
    first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok"
    assert got == first + first.replace(b"x-a", b"connection: close\r\nx-a") + b"<end>"


@pytest.mark.parametrize(
    ("request_", "status"), [(get(b"/a").replace(b"GET", b"HEAD"), 200), (get(b"/a"), 204)]
)
async def test_an_answer_without_a_body_is_not_sent_as_a_whole_one(
    request_: bytes, status: int, tmp_path: Path
) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        assert not scope["whole"](status, b"", b"")
        await say(send, b"", status=status)

    async with listening(App(answer), tmp_path / "s"):
        got = await told(tmp_path / "s", request_)
    assert got.startswith(b"HTTP/1.1 %d " % status)


async def test_whole_answers_wait_for_a_slow_reader_too(tmp_path: Path) -> None:
    refused = False

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        nonlocal refused
        body = b"a" * 262144
        if not scope["whole"](200, b"", body):
            refused = True
            await say(send, body)

    async with listening(App(answer), tmp_path / "s"):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1024)
        writer.write(get(b"/a") * 20)
        await eventually(lambda: refused)
        writer.transport.abort()


async def test_the_answer_to_head_has_no_body(tmp_path: Path) -> None:
    async with listening(App(), tmp_path / "s"):
        got = await told(tmp_path / "s", get(b"/a").replace(b"GET", b"HEAD"), get(b"/b"))
    assert got == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n" * 2 + b"ok"


@pytest.mark.parametrize("body", [b"too long", b"s"])
async def test_a_body_of_another_length_than_said_ends_the_connection(body: bytes, tmp_path: Path) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": body})

    async with listening(App(answer), tmp_path / "s"):
        got = await told(tmp_path / "s", get(b"/a") + get(b"/b"))
    assert got.count(b"HTTP/1.1") <= 1
    assert got.endswith(b"<end>")


@pytest.mark.asvs("1.3.11")
@pytest.mark.parametrize("value", [b"a\r\nSet-Cookie: b", b"a\nb", b"a\rb", b"a\x00b", b"a\x1bb"])
async def test_a_header_that_is_more_than_a_line_is_not_sent(value: bytes, tmp_path: Path) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await say(send, b"ok", (b"x-a", value))

    async with listening(App(answer), tmp_path / "s"):
        assert await told(tmp_path / "s", get(b"/a")) == b"<end>"


async def test_an_answer_waits_for_a_slow_reader(tmp_path: Path) -> None:
    sent = 0

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"a" * 65536, "more_body": True})
            sent += 1
            await asyncio.sleep(0)

    async with listening(App(answer), tmp_path / "s"):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1024)
        writer.write(get(b"/a"))
        await eventually(lambda: sent > 0)
        await asyncio.sleep(0.2)
        assert sent < 100
        writer.transport.abort()


# -- hanging up ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"GET /a HT"])
async def test_a_connection_without_a_request_is_closed(begun: bytes, tmp_path: Path) -> None:
    async with listening(App(), tmp_path / "s", keep_alive=1):
        assert await told(tmp_path / "s", begun) == b"<end>"


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
