"""Answers by the byte: split anywhere, broken off, silent, endless."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fixtures.identity import Trust
from tests.gateway.edge import edge, served


class Raw:
    """A service that answers with given bytes in given pieces, and perhaps hangs up."""

    def __init__(self, pieces: list[bytes], *, hang_up: bool) -> None:
        self._pieces = pieces
        self._hang_up = hang_up

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self._pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if not self._hang_up:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def ask_raw(
    trust: Trust, directory: Path, pieces: list[bytes], *, hang_up: bool = True, **fields: Any
) -> tuple[httpx.Response | str, int]:
    """The answer that a caller of the gateway gets (or that it was cut off), and connections left in the pool."""
    socket = directory / "auth.sock"
    socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(Raw(pieces, hang_up=hang_up), str(socket))
    try:
        async with edge(trust, directory, **fields) as made:
            front = directory / "front.sock"
            async with served(made.gateway, front):
                transport = httpx.AsyncHTTPTransport(uds=str(front))
                async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                    answer: httpx.Response | str
                    try:
                        answer = await client.get("/v1/auth/jwks")
                    except httpx.RemoteProtocolError:
                        answer = "cut off"
                    return answer, made.gateway.upstreams.pools["auth"].open_connections
    finally:
        server.close()


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(points)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, 5000), max_size=12), framing=st.sampled_from(["length", "chunked", "close"])
)
async def test_an_answer_is_the_same_however_its_bytes_are_split(
    trust: Trust, tmp_path: Path, cuts: list[int], framing: str
) -> None:
    body = gzip.compress(b"the same bytes " * 40, mtime=0)
    head = b"HTTP/1.1 200 OK\r\nX-Name: value\r\n"
    if framing == "length":
        raw = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        raw = head + b"Transfer-Encoding: chunked\r\n\r\n"
        raw += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    else:
        raw = head + b"Connection: close\r\n\r\n" + body
    answer, _ = await ask_raw(trust, tmp_path, split(raw, cuts))
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, answer.content, answer.headers["x-name"]) == (200, body, "value")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_broken_answer_never_looks_like_a_whole_one(trust: Trust, tmp_path: Path, raw: bytes) -> None:
    answer, left = await ask_raw(trust, tmp_path, [raw])
    assert answer == "cut off" or (isinstance(answer, httpx.Response) and answer.status_code == 503)
    assert left == 0


async def test_informational_answers_are_skipped(trust: Trust, tmp_path: Path) -> None:
    raw = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n"
    answer, _ = await ask_raw(trust, tmp_path, [raw], hang_up=False)
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "link" not in answer.headers


async def test_a_silent_service_is_given_up(trust: Trust, tmp_path: Path) -> None:
    answer, left = await ask_raw(trust, tmp_path, [], hang_up=False, first_byte_seconds=0.1)
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, left) == (503, 0)
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort"
    answer, left = await ask_raw(trust, tmp_path, [raw], hang_up=False, idle_seconds=0.1)
    assert (answer, left) == ("cut off", 0)


async def test_an_endless_answer_is_cut(trust: Trust, tmp_path: Path) -> None:
    raw = [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", *[b"x" * 60_000] * 20]
    answer, left = await ask_raw(trust, tmp_path, raw, max_response_bytes=500_000)
    assert (answer, left) == ("cut off", 0)
