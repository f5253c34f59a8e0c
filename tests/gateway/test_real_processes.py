"""The processes themselves: auth's API, auth's worker and the gateway, started as a stack starts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from services.auth.bindings import BINDINGS
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.processes import PASSWORD, Processes, identity_processes


@pytest.fixture
async def stack(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[Processes]:
    await rabbit.declare(BINDINGS)
    urls = {name: rabbit.url(name) for name in ("auth", "gateway")}
    async with identity_processes(tmp_path, trust, service_database("auth"), urls) as made:
        yield made


async def until(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], condition: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Asks again and again until the answer is as it should become."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get(path, headers=headers)
            if condition(answer):
                return answer
            await asyncio.sleep(0.05)


async def test_a_person_signs_up_and_works_through_the_real_processes(stack: Processes) -> None:
    async with stack.client("gateway") as client:
        person = {"email": "ada@people.test", "password": PASSWORD}
        assert (await client.post("/v1/auth/signup", json={**person, "name": "Ada"})).status_code == 202
        token = await stack.mail_to(person["email"])
        assert (await client.post("/v1/auth/confirm", json={"token": token})).status_code == 200
        signed_in = await client.post("/v1/auth/sessions", json=person)
        assert signed_in.status_code == 201, signed_in.text
        headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        made = await client.post(
            "/v1/workspaces", json={"name": "Mill"}, headers={**headers, "Idempotency-Key": "1"}
        )
        assert made.status_code == 201, made.text
        at_once = await client.get(f"/v1/workspaces/{made.json()['id']}", headers=headers)
        assert (at_once.status_code, at_once.json()["role"]) == (200, "owner")
        path = f"/v1/workspaces/{made.json()['id']}/audit"
        audit = await until(client, path, headers, lambda answer: bool(answer.json()["items"]))
        assert audit.json()["items"][0]["action"] == "auth.workspace.created"
        assert (await client.delete("/v1/auth/sessions/current", headers=headers)).status_code == 204
        await until(client, "/v1/me", headers, lambda answer: answer.status_code == 401)
    logs = "".join(stack.log(name) for name in stack.running)
    for secret in (PASSWORD, token, signed_in.json()["access_token"], "re_x", "pepper" * 8):
        assert secret not in logs
