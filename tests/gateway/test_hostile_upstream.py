"""Whatever a service sends, a caller gets what a direct call would have got, or a clean failure: nothing else, no hang,
no connection lost from the count, and never a byte of somebody else's answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fixtures.identity import Trust
from tests.gateway.comparison import SILENCE, Reply, Stage, staged
from tests.gateway.edge import eventually
from tests.gateway.upstream import REQUEST_ID, End, Script
from tests.gateway.upstream_answers import LIES, honest, lying, mark

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a failing example is short enough as it is


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
