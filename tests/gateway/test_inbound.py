"""The gateway's own side of HTTP/1.1, over real sockets: what it reads, what it sends, when it hangs up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.edge import eventually
from tests.gateway.inbound import HOST, App, get, listening, say, told

# -- reading -------------------------------------------------------------------------------------------------------


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
