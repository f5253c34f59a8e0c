"""Fresh sign-ins and the second factor, as a client of the public API meets them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gateway.app import Gateway
from services.auth.second_factor import totp
from shared.ids import new_id
from tests.auth.stage import PASSWORD, Person, Stage, seconds, unverified
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import eventually
from tests.gateway.test_stream import world

STEP_UP = "/v1/auth/sessions/current/step-up"
FACTOR = "/v1/me/second-factor"
MARKED = {"X-SC-CSRF": "1", "Origin": "https://sendchief.test"}


@dataclass
class Client:
    auth: Stage
    gateway: Gateway
    client: httpx.AsyncClient
    person: Person

    async def sign_in(self, **body: Any) -> httpx.Response:
        body = {"email": self.person.email, "password": PASSWORD, **body}
        return await self.client.post("/v1/auth/sessions", json=body)

    async def ask(self, token: str, method: str, path: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": new_id("evt")}
        return await self.client.request(method, path, json=body or None, headers=headers)

    async def workspace(self, token: str) -> str:
        answer = await self.ask(token, "POST", "/v1/workspaces", name="Mill")
        workspace_id = str(answer.json()["id"])
        await eventually(lambda: self.gateway.authority.role(self.person.id, workspace_id) == "owner")
        return workspace_id

    async def stale_token(self) -> str:
        """Of a session that began twenty minutes ago, refreshed now."""
        await self.sign_in()
        async with self.auth.app_database.transaction() as session:
            statement = "update session set authenticated_at = authenticated_at - interval '20 minutes'"
            await session.execute(text(statement))
        answer = await self.client.post("/v1/auth/sessions/refresh", headers=MARKED)
        return str(answer.json()["access_token"])


@pytest.fixture
async def ada(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[Client]:
    async with world(service_database, trust, rabbit, tmp_path) as (auth, gateway, _):
        transport = httpx.ASGITransport(app=gateway)
        async with httpx.AsyncClient(transport=transport, base_url="https://sendchief.test") as client:
            yield Client(auth, gateway, client, await auth.person())


async def test_an_old_sign_in_is_challenged_and_the_password_again_lets_it_pass(ada: Client) -> None:
    """RFC 9470: the challenge names the age, the problem where to go, and the new token passes."""
    stale = await ada.stale_token()
    workspace_id = await ada.workspace(stale)
    refused = await ada.ask(stale, "DELETE", f"/v1/workspaces/{workspace_id}", confirm_name="Mill")
    assert (refused.status_code, refused.json()["code"]) == (401, "step_up_required")
    challenge = refused.headers["www-authenticate"]
    assert challenge.startswith('Bearer error="insufficient_user_authentication"')
    assert 'max_age="300"' in challenge
    assert STEP_UP in refused.json()["next_action"]

    answer = await ada.ask(stale, "POST", STEP_UP, password=PASSWORD)
    fresh = answer.json()["access_token"]
    assert unverified(fresh)["auth_time"] - unverified(stale)["auth_time"] == 1200
    path = f"/v1/workspaces/{workspace_id}"
    assert (await ada.ask(stale, "DELETE", path, confirm_name="Mill")).status_code == 401
    assert (await ada.ask(fresh, "DELETE", path, confirm_name="Mill")).status_code == 202


async def test_the_whole_life_of_a_second_factor(ada: Client) -> None:
    elsewhere = ada.person.access_token
    here = (await ada.sign_in()).json()["access_token"]
    started = await ada.ask(here, "POST", FACTOR, password=PASSWORD)
    key = base64.b32decode(started.json()["secret"])
    confirmed = await ada.ask(here, "POST", f"{FACTOR}/confirm", code=totp.code_at(key, ada.auth.clock.now()))
    assert len(confirmed.json()["recovery_codes"]) == 10

    await eventually(lambda: ada.gateway.authority.ended(ada.person.session_id))
    assert (await ada.ask(elsewhere, "GET", "/v1/me")).status_code == 401
    assert (await ada.ask(here, "GET", FACTOR)).json()["state"] == "on"

    assert (await ada.sign_in()).json()["code"] == "second_factor_required"
    code = totp.code_at(key, ada.auth.clock.now() + seconds(30))  # of a telephone that is ahead by one step
    signed_in = await ada.sign_in(code=code)
    assert signed_in.status_code == 201
    assert (await ada.sign_in(code=code)).json()["code"] == "code_refused"

    token, recovery = signed_in.json()["access_token"], confirmed.json()["recovery_codes"][0]
    assert (await ada.ask(token, "DELETE", FACTOR, password=PASSWORD)).status_code == 401
    off = await ada.ask(token, "DELETE", FACTOR, password=PASSWORD, code=recovery)
    assert off.status_code == 204
    assert (await ada.sign_in()).status_code == 201


async def test_a_key_of_a_partner_has_no_second_factor_and_no_step_up(ada: Client) -> None:
    token = (await ada.sign_in()).json()["access_token"]
    workspace_id = await ada.workspace(token)
    made = await ada.ask(
        token, "POST", f"/v1/workspaces/{workspace_id}/api-keys", name="p", scopes=["members:read"]
    )
    key = made.json()["key"]
    assert (await ada.ask(key, "POST", STEP_UP, password=PASSWORD)).status_code == 403
    assert (await ada.ask(key, "POST", FACTOR, password=PASSWORD)).status_code == 403
