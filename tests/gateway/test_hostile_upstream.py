"""Whatever a service sends, a caller gets what a direct call would have got, or a clean failure: nothing else, no hang,
no connection lost from the count, and never a byte of somebody else's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.breaker import Breaker
from gateway.pool import Pool
from gateway.replies import SECURITY_HEADERS
from gateway.settings import GatewaySettings
from tests.fixtures.identity import Trust
from tests.gateway.edge import edge, eventually, served
from tests.gateway.upstream import REQUEST_ID, End, Script, Upstream, scripted

FRESH = httpx.Limits(max_keepalive_connections=0)
HANG_SECONDS = 20.0
"""Far beyond every limit that these gateways are given: what is not over by then hangs."""
SILENCE = 0.15
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a failing example is short enough as it is
HOP = {
    "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "server", "date", "x-hop",
    "content-length", "x-request-id",
}  # fmt: skip
ADDED = {name.decode() for name, _ in SECURITY_HEADERS} | {"cache-control", "ratelimit", "ratelimit-policy"}


@dataclass(frozen=True)
class Reply:
    """`status` 0: there was none, or it broke off."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass
class Stage:
    upstream: Upstream
    pool: Pool
    settings: GatewaySettings
    gateway: httpx.AsyncClient
    direct: httpx.AsyncClient

    async def ask(self, number: int) -> Reply:
        async with asyncio.timeout(HANG_SECONDS):
            return await reply(self.gateway, number)

    async def ask_directly(self, number: int) -> Reply:
        async with asyncio.timeout(HANG_SECONDS):
            return await reply(self.direct, number)

    def silence(self, seconds: float) -> None:
        """How long the gateway and the direct caller wait for a byte."""
        self.settings.first_byte_seconds = self.settings.idle_seconds = seconds
        self.direct.timeout = seconds

    async def is_clean(self) -> None:
        """Every connection is counted: closing the idle ones leaves none, on either side."""
        self.pool.close()
        assert self.pool.open_connections == 0
        await self.direct.aclose()
        await eventually(lambda: self.upstream.open == 0)

    def forgive(self) -> None:
        """A closed circuit: otherwise later examples would not reach the service."""
        self.pool.breaker = Breaker(asyncio.get_running_loop().time)


async def reply(client: httpx.AsyncClient, number: int) -> Reply:
    try:
        async with client.stream("GET", f"/v1/auth/jwks?n={number}") as answer:
            body = b"".join([piece async for piece in answer.aiter_raw()])
    except (httpx.HTTPError, ValueError):
        return Reply(0)
    headers = tuple(
        sorted((name, value) for name, value in answer.headers.multi_items() if name not in HOP | ADDED)
    )
    return Reply(answer.status_code, headers, body)


@asynccontextmanager
async def staged(trust: Trust, directory: Path, **fields: Any) -> AsyncIterator[Stage]:
    limits = {"first_byte_seconds": SILENCE, "idle_seconds": SILENCE, "total_seconds": 3.0, **fields}
    async with (
        scripted(directory / "auth.sock") as upstream,
        edge(trust, directory, rate_limit_public=10**9, **limits) as made,
        served(made.gateway, directory / "front.sock"),
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(directory / "front.sock")),
            base_url="http://gateway",
            timeout=HANG_SECONDS,  # the gateway gives a stalled service up first, and asks another connection
        ) as gateway,
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(directory / "auth.sock"), limits=FRESH),
            base_url="http://service",
            timeout=SILENCE,
            headers={"X-Request-Id": "req_direct"},
        ) as direct,
    ):
        pool = made.gateway.upstreams.pools["auth"]
        yield Stage(upstream, pool, made.gateway.settings, gateway, direct)


def mark(number: int) -> bytes:
    return b"<mark %d>" % number


# -- what services say -------------------------------------------------------------------------------------

cuts = st.lists(st.integers(0, 3000), max_size=10).map(tuple)
ends: st.SearchStrategy[End] = st.sampled_from(["keep", "close"])


@st.composite
def honest(draw: st.DrawFn, number: int) -> Script:
    """A well-formed answer in any framing, however split."""
    body = mark(number) * draw(st.integers(0, 40)) + b"\x00\r\n\r\n" * draw(st.integers(0, 1))
    status = draw(st.sampled_from([200, 201, 301, 404, 409, 500]))
    lines = [b"HTTP/1.1 %d Words" % status, b"X-Mark: " + mark(number), b"X-Request-Id: " + REQUEST_ID]
    if draw(st.booleans()):
        lines += [b"X-Hop: secret", b"Connection: X-Hop"]
    early = b"HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n" * draw(st.integers(0, 2))
    end = draw(ends)
    framing = draw(st.sampled_from(["length", "chunked", "chunked", "close"]))
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
        sent = body
    elif framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        size = draw(st.integers(1, 60))
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        trailer = b"X-Trailer: " + mark(number) + b"\r\n" if draw(st.booleans()) else b""
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n" + trailer + b"\r\n"
    else:
        end, sent = "close", body
    return Script(early + b"\r\n".join(lines) + b"\r\n\r\n" + sent, draw(cuts), end)


LIES = [
    b"",
    b"\r\n",
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n: nameless\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-A: a\rX-B: b\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
    b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX-Request-Id: req_of_another\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nframes",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
]


@st.composite
def lying(draw: st.DrawFn, number: int) -> Script:
    """Anything: a known lie, or an honest answer with bytes changed, cut short, doubled or followed by more."""
    every: st.SearchStrategy[End] = st.sampled_from(["keep", "close", "reset", "stall"])
    kind = draw(st.sampled_from(["lie", "changed", "short", "second", "late"]))
    if kind == "lie":
        return Script(draw(st.sampled_from(LIES)), draw(cuts), draw(every))
    base = draw(honest(number))
    answer = base.answer
    if kind == "changed":
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(answer) - 1))
            answer = answer[:at] + draw(st.binary(max_size=2)) + answer[at + 1 :]
        return Script(answer, base.cuts, draw(every))
    if kind == "short":
        return Script(answer[: draw(st.integers(0, len(answer)))], base.cuts, draw(every))
    poison = b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Length: 9\r\n\r\npoisoned!" % REQUEST_ID
    if kind == "second":
        return Script(answer + poison, base.cuts, "keep")
    return Script(answer, base.cuts, "keep", late=poison.replace(REQUEST_ID, b"req_earlier"))


def check(seen: Reply, direct: Reply, script: Script) -> None:
    """A lie is told on as a direct caller would get it, or is a clean failure."""
    assert b"poisoned!" not in seen.body or b"poisoned!" in direct.body
    clean = seen.status == 503 and b'"code":"unavailable"' in seen.body
    assert seen.status == 0 or clean or seen == direct, (script, seen, direct)


async def wave(stage: Stage, scripts: dict[int, Script], truthful: bool) -> None:
    """All of them at once. Truth arrives exactly; beside liars it arrives, or a clean failure does."""
    stage.upstream.scripts = scripts
    stage.silence(5.0 if truthful else SILENCE)
    stage.forgive()
    seen = await asyncio.gather(*(stage.ask(number) for number in scripts))
    for (number, script), got in zip(scripts.items(), seen, strict=True):
        for other in scripts:
            assert other == number or mark(other) not in got.body + str(got.headers).encode()
        direct = await stage.ask_directly(number)
        if truthful:
            assert got == direct
        else:
            check(got, direct, script)


async def test_every_answer_is_that_of_a_direct_call_or_a_clean_failure(trust: Trust, tmp_path: Path) -> None:
    """Waves of liars and of honest answers in turn over the same connections."""
    loop = asyncio.get_running_loop()
    async with staged(trust, tmp_path) as stage:

        @settings(max_examples=60, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))
        @given(data=st.data(), sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4))
        def waves(data: st.DataObject, sizes: list[int]) -> None:
            number = 0
            for turn, size in enumerate(sizes):
                numbers = range(number, number + size)
                truthful = turn % 2 == 1
                scripts = {one: data.draw(honest(one) if truthful else lying(one)) for one in numbers}
                asyncio.run_coroutine_threadsafe(wave(stage, scripts, truthful), loop).result()
                number += size

        await asyncio.to_thread(waves)
        await stage.is_clean()


@pytest.mark.parametrize("end", ["keep", "close", "reset", "stall"])
async def test_no_known_lie_looks_like_a_whole_answer_unless_it_is_one(
    trust: Trust, tmp_path: Path, end: End
) -> None:
    async with staged(trust, tmp_path) as stage:
        stage.upstream.scripts = {number: Script(lie, (), end) for number, lie in enumerate(LIES)}
        for number, script in stage.upstream.scripts.items():
            stage.forgive()
            direct = await stage.ask_directly(number)
            check(await stage.ask(number), direct, script)
        await stage.is_clean()


async def test_an_answer_for_another_request_is_refused_even_on_a_good_connection(
    trust: Trust, tmp_path: Path
) -> None:
    """A service that answers twice shifts all later answers by one: the request's id gives it away."""
    fine = b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Length: 4\r\n\r\nmine"
    async with staged(trust, tmp_path) as stage:
        stage.upstream.scripts = {
            1: Script(fine % REQUEST_ID),
            2: Script((fine % b"req_0123456789").replace(b"mine", b"hers")),
        }
        assert (await stage.ask(1)).body == b"mine"
        assert stage.pool.open_connections == 1
        shifted = await stage.ask(2)
        assert (shifted.status, b"hers" in shifted.body) == (503, False)
        assert stage.pool.open_connections == 0
        assert (await stage.ask(1)).body == b"mine"


async def test_what_comes_between_two_answers_ends_the_connection(trust: Trust, tmp_path: Path) -> None:
    fine = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
    async with staged(trust, tmp_path) as stage:
        stage.upstream.scripts = {1: Script(fine, late=fine.replace(b"mine", b"hers"))}
        assert (await stage.ask(1)).body == b"mine"
        await eventually(lambda: stage.upstream.open == 0)
        stage.upstream.scripts = {1: Script(fine)}
        assert (await stage.ask(1)).body == b"mine"


async def test_only_a_get_is_sent_again_when_an_idle_connection_has_died(
    trust: Trust, tmp_path: Path
) -> None:
    """The service hangs up on the second request of each connection, before it says a byte."""
    fine = Script(b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Length: 4\r\n\r\nmine" % REQUEST_ID)
    silent = Script(b"", end="close")
    async with staged(trust, tmp_path) as stage:
        stage.silence(5.0)
        stage.upstream.scripts = {1: fine, 2: silent}
        assert (await stage.ask(1)).status == 200
        answer = await stage.gateway.post("/v1/auth/confirm?n=2", json={})
        assert (answer.status_code, stage.upstream.asked.count(2)) == (503, 1)
        assert (await stage.ask(1)).status == 200
        assert (await stage.ask(2)).status == 503
        assert stage.upstream.asked.count(2) == 3  # once more on a fresh connection, and no third time
        await stage.is_clean()


async def test_nothing_is_sent_again_once_a_byte_of_an_answer_has_come(trust: Trust, tmp_path: Path) -> None:
    fine = Script(b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Length: 4\r\n\r\nmine" % REQUEST_ID)
    async with staged(trust, tmp_path) as stage:
        stage.silence(5.0)
        stage.upstream.scripts = {1: fine, 2: Script(b"HTTP/1.1 200", end="close")}
        assert (await stage.ask(1)).status == 200
        assert (await stage.ask(2)).status == 503
        assert stage.upstream.asked.count(2) == 1


async def test_a_full_pool_refuses_at_once_and_is_no_fault_of_the_service(
    trust: Trust, tmp_path: Path
) -> None:
    fine = Script(b"HTTP/1.1 200 OK\r\nX-Request-Id: %b\r\nContent-Length: 4\r\n\r\nmine" % REQUEST_ID)
    async with staged(trust, tmp_path, connections_per_service=2) as stage:
        stage.silence(2.0)
        stage.upstream.scripts = {1: fine, 2: Script(b"", end="stall")}
        waiting = [asyncio.create_task(stage.ask(2)) for _ in range(2)]
        await eventually(lambda: stage.upstream.asked.count(2) == 2)
        refused = [await stage.ask(1) for _ in range(8)]
        assert {one.status for one in refused} == {503}
        assert stage.upstream.asked.count(1) == 0
        assert not stage.pool.breaker.open
        await asyncio.gather(*waiting)
        assert (await stage.ask(1)).body == b"mine"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_slow_reader_holds_up_the_writer_instead_of_filling_memory(
    trust: Trust, tmp_path: Path, method: str
) -> None:
    """GET: the caller does not read, the service writes without end. POST: the service does not read."""
    written = 0

    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        if method == "POST":
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(30)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            written += 65536

    name = "auth.sock" if method == "GET" else "provisioner.sock"
    limits = {"max_body_bytes": 1 << 30, "max_response_bytes": 1 << 30}
    server = await asyncio.start_unix_server(service, str(tmp_path / name))
    async with edge(trust, tmp_path, **limits) as made, served(made.gateway, tmp_path / "front.sock"):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "front.sock"), limit=65536)
        if method == "GET":
            writer.write(b"GET /v1/auth/jwks HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: written > 0)
        else:
            # The service is the provisioner here, whose webhook takes any body.
            writer.write(
                b"POST /v1/webhooks/stripe HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
        sent = await _push(writer) if method == "POST" else 0
        assert await _comes_to_rest(lambda: written + sent) < 8 * 1024 * 1024
        writer.transport.abort()
    server.close()


async def _push(writer: asyncio.StreamWriter) -> int:
    """Writes chunks until nobody takes them any more."""
    sent = 0
    try:
        while sent < 64 * 1024 * 1024:
            writer.write(b"10000\r\n" + b"y" * 65536 + b"\r\n")
            async with asyncio.timeout(0.5):
                await writer.drain()
            sent += 65536
    except TimeoutError:
        pass
    return sent


async def _comes_to_rest(count: Callable[[], int]) -> int:
    """What the count is once it has not changed for a while."""
    before, quiet = -1, 0
    while quiet < 5 and before < 64 * 1024 * 1024:
        await asyncio.sleep(0.1)
        quiet = quiet + 1 if count() == before else 0
        before = count()
    return before
