"""API4:2023 Unrestricted Resource Consumption: what is too much is refused early, clearly and never with a 500."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.owasp.front import Front, front


async def test_a_body_that_is_too_long_is_refused_before_it_is_read(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "1", "Content-Type": "application/json"}
    announced = await stage.client.post("/v1/workspaces", content=b"x" * (1024 * 1024 + 1), headers=headers)
    assert announced.status_code == 413

    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    streamed = await stage.client.post("/v1/workspaces", content=endless(), headers=headers)
    assert streamed.status_code == 413
    assert sent < 4 * 1024 * 1024


async def test_json_that_is_costly_to_read_is_refused(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "1", "Content-Type": "application/json"}
    bodies = {
        "deep": b"[" * 100_000,
        "deep and closed": b"[" * 5_000 + b"]" * 5_000,
        "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        "many keys": json.dumps({str(number): 1 for number in range(50_000)}).encode(),
        "a number of many digits": b'{"name": ' + b"9" * 500_000 + b"}",
        "an exponent": b'{"name": 1e999999999}',
        "a long text": json.dumps({"name": "x" * 900_000}).encode(),
        "not a number": b'{"name": NaN}',
    }
    for name, body in bodies.items():
        answer = await stage.client.post("/v1/workspaces", content=body, headers=headers)
        assert answer.status_code in (400, 413, 422), (name, answer.status_code)


async def test_pages_have_a_longest_length(stage: Front) -> None:
    a = stage.world.a
    token = await stage.owner(a)
    for limit in ("101", "1000000", "0", "-1", "1e3", "9" * 400, ""):
        answer = await stage.ask(token, "GET", f"/v1/workspaces/{a.workspace_id}/members?limit={limit}")
        assert answer.status_code in (400, 422), limit
    for cursor in ("x", "A" * 2000, "W10", "bnVsbA"):
        answer = await stage.ask(token, "GET", f"/v1/workspaces/{a.workspace_id}/members?cursor={cursor}")
        assert answer.status_code in (400, 414, 422), cursor


async def test_long_targets_and_many_headers_are_refused(stage: Front) -> None:
    token = await stage.owner(stage.world.a)
    assert (await stage.ask(token, "GET", f"/v1/regions?{'x' * 10_000}=1")).status_code in (400, 414)
    assert (await stage.ask(token, "GET", f"/v1/{'x' * 10_000}")).status_code in (400, 404, 414)
    many = {f"X-{number}": "y" for number in range(500)}
    assert (await stage.ask(token, "GET", "/v1/me", None, **many)).status_code in (400, 431)
    assert (await stage.ask(token, "GET", "/v1/me", None, X_Big="y" * 60_000)).status_code in (400, 431)


async def test_a_caller_has_so_many_requests_a_minute_and_is_told(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    async with front(service_database, trust, tmp_path, rate_limit_signed_in=30) as stage:
        token = await stage.owner(stage.world.a)
        answers = await asyncio.gather(*(stage.ask(token, "GET", "/v1/me") for _ in range(60)))
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}
        assert statuses.count(200) <= 35
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert "ratelimit" in refused.headers
        other = await stage.owner(stage.world.b)
        assert (await stage.ask(other, "GET", "/v1/me")).status_code == 200


async def test_a_hundred_passwords_at_once_are_worked_off_or_turned_away(stage: Front) -> None:
    """Each costs 20 MB and 20 ms: two are checked at a time, fifty wait, the rest come back later. None is a 500."""

    async def guess(number: int) -> int:
        body = {"email": f"{new_id('usr')}@people.test", "password": f"a sentence with number {number} in it"}
        return (await stage.client.post("/v1/auth/sessions", json=body)).status_code

    statuses = await asyncio.gather(*(guess(number) for number in range(100)))
    assert set(statuses) <= {401, 429, 503}
    assert (await stage.client.get("/v1/auth/jwks")).status_code == 200


async def test_a_password_of_a_megabyte_is_not_hashed(stage: Front) -> None:
    body = {"email": "eve@people.test", "password": "x" * 1_000_000}
    assert (await stage.client.post("/v1/auth/sessions", json=body)).status_code in (400, 413, 422)


async def test_what_can_be_made_has_an_end(stage: Front) -> None:
    """A workspace's keys: fifty, however many ask at once."""
    a = stage.world.a
    token = await stage.owner(a)
    for _ in range(45):
        await stage.made("auth", "key_id", a)
    answers = await asyncio.gather(
        *(
            stage.ask(
                token,
                "POST",
                f"/v1/workspaces/{a.workspace_id}/api-keys",
                {"name": "k", "scopes": ["servers:read"]},
            )
            for _ in range(20)
        )
    )
    assert sorted({answer.status_code for answer in answers}) == [201, 409]
    assert [answer.status_code for answer in answers].count(201) <= 5
