"""Each part is taken away in turn, and every route is asked: only what needs that part says 503, and says it well;
when the part is back all goes on by itself.

What is expected stands in `expected.toml`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.routes import Route
from tests.faults.stack import Whole, whole_stack
from tests.fixtures.bus import Rabbit, own_rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation import bodies
from tests.isolation.cases import TABLE
from tests.isolation.factories import FACTORIES
from tests.isolation.world import Customer

EXPECTED = tomllib.loads(Path(__file__).with_name("expected.toml").read_text())
AWAY: dict[str, dict[str, Any]] = EXPECTED["away"]
FAILS_ALONE = frozenset(EXPECTED["fails_alone"]["routes"])
WITHOUT_DATABASE = frozenset(EXPECTED["without_database"]["routes"])
SPENDS = frozenset(EXPECTED["spends"]["routes"]) | {
    f"{route.method} {route.path}"
    for route in TABLE.routes
    if route.access == "signed_in" and route.method != "GET"
}
CUSTOMERS = (len(AWAY) + 1) * (len(SPENDS) + 1) + 1
INTERNALS = (
    b"asyncpg",
    b"sqlalchemy",
    b"Traceback",
    b"/run/",
    b"/tmp/",
    b".sock",
    b"amqp",
    b"SELECT",
    b"select ",
)


@dataclass(frozen=True)
class Ask:
    """One request, with all that it needs made beforehand."""

    route: Route
    path: str
    headers: dict[str, str]
    body: Any

    @property
    def name(self) -> str:
        return f"{self.route.method} {self.route.path}"


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    with own_rabbit() as made:
        yield made


@pytest.fixture
async def whole(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[Whole]:
    async with whole_stack(service_database, trust, rabbit, tmp_path, CUSTOMERS) as made:
        yield made


async def asks(whole: Whole) -> list[Ask]:
    """One request per route of the table, each of which would succeed."""
    shared = whole.owners.pop()
    found = []
    for route in TABLE.routes:
        name = f"{route.method} {route.path}"
        one = whole.owners.pop() if name in SPENDS else shared
        found.append(await _ask(whole, route, name, one))
    return found


async def _ask(whole: Whole, route: Route, name: str, one: Customer) -> Ask:
    parameters = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    made = None
    path = route.path.replace("{workspace_id}", one.workspace_id)
    for parameter in parameters:
        if parameter != "workspace_id":
            made = await FACTORIES[route.service, parameter](whole.world, one)
            path = path.replace("{" + parameter + "}", made.id)
    body = EXPECTED["bodies"].get(name)
    if name in bodies.BODIES:
        body = await bodies.BODIES[name](whole.world, one, made)
    headers = {} if route.access == "public" else whole.headers(one)
    # From a network of its own, so that failures do not add up to a delay.
    headers["X-Forwarded-For"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    if route.method in ("PATCH", "PUT"):
        headers["If-Match"] = "*"
    return Ask(route, path, headers, body)


async def answer_to(whole: Whole, ask: Ask) -> tuple[int, httpx.Headers, bytes]:
    """Status, headers and body; of an event stream its beginning is enough."""
    body = None if ask.body is None else json.dumps(ask.body)
    headers = {**ask.headers, **({} if body is None else {"Content-Type": "application/json"})}
    async with whole.gateway.stream(ask.route.method, ask.path, headers=headers, content=body) as answer:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return answer.status_code, answer.headers, b""
        return answer.status_code, answer.headers, await answer.aread()


def expected(ask: Ask, away: dict[str, Any], what: str, works: int) -> set[int]:
    """The statuses that may be seen."""
    signed_in = ask.route.access != "public"
    if signed_in and (away.get("signed_in") or (away.get("changes") and ask.route.method != "GET")):
        return {503}
    if ask.route.service not in away.get("services", ()):
        return {works}
    if not what.startswith("database"):
        return {503}
    if ask.name in WITHOUT_DATABASE:
        return {works}
    return {503} if works < 400 else {503, works}


def wrong(ask: Ask, status: int, headers: httpx.Headers, body: bytes, wanted: set[int]) -> str | None:
    if status not in wanted:
        return f"{ask.name}: {status}, not {sorted(wanted)}: {body[:300]!r}"
    if status < 400:
        return None
    problem = json.loads(body)
    if headers["content-type"] != "application/problem+json" or problem["status"] != status:
        return f"{ask.name}: no problem document"
    if any(word in body for word in INTERNALS):
        return f"{ask.name}: says too much: {body!r}"
    if status == 503 and ask.name not in FAILS_ALONE:
        if problem["code"] != "unavailable" or not problem["detail"]:
            return f"{ask.name}: does not say what is the matter: {body!r}"
        if not headers.get("retry-after", "").isdigit():
            return f"{ask.name}: does not say when to come back: {body!r}"
    return None


async def all_wrong(
    whole: Whole, asked: list[Ask], what: str, away: dict[str, Any], works: dict[str, int]
) -> list[str]:
    found = []
    for ask in asked:
        answer = await answer_to(whole, ask)
        found.append(wrong(ask, *answer, expected(ask, away, what, works[ask.name])))
    return [one for one in found if one is not None]


async def what_works(whole: Whole) -> dict[str, int]:
    """Route → status, with nothing away."""
    found = {}
    for ask in await asks(whole):
        status, _, body = await answer_to(whole, ask)
        assert (status == 503) if ask.name in FAILS_ALONE else status < 500, f"{ask.name}: {body!r}"
        found[ask.name] = status
    return found


@pytest.mark.asvs("16.5.2")
async def test_only_what_needs_a_part_that_is_away_is_away_and_all_returns_by_itself(whole: Whole) -> None:
    works = await what_works(whole)
    assert sum(status < 300 for status in works.values()) > len(works) * 0.7, works
    for what, away in AWAY.items():
        asked = await asks(whole)
        await whole.take(what)
        try:
            if away.get("changes") or away.get("signed_in"):
                await whole.trusted(False)
            found = await all_wrong(whole, asked, what, away, works)
            assert found == [], f"away: {what}\n" + "\n".join(found)
        finally:
            await whole.bring_back(what)
        await _returned(whole, what)


async def _returned(whole: Whole, what: str) -> None:
    """Nobody restarts anything but the part itself."""
    await whole.trusted(True)
    reader = whole.owners[0]
    for service in ("auth", "vault", "provisioner", "dns"):
        path = {"auth": "members", "vault": "provider-tokens", "provisioner": "servers", "dns": "zones"}[
            service
        ]
        async with asyncio.timeout(60):
            while True:
                answer = await whole.gateway.get(
                    f"/v1/workspaces/{reader.workspace_id}/{path}", headers=whole.headers(reader)
                )
                if answer.status_code == 200:
                    break
                assert answer.status_code == 503, f"{service} after {what}: {answer.text}"
                await asyncio.sleep(0.2)
