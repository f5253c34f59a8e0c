"""Gateway, auth, database and broker together: a caller's way from sign-up to a refused foreign workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.app import Gateway
from shared.ids import new_id
from tests.auth.stage import PASSWORD, Stage
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import eventually
from tests.gateway.test_stream import Pulse, world

World = tuple[Stage, Gateway, httpx.AsyncClient, Pulse]


@pytest.fixture
async def stack(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[World]:
    async with world(service_database, trust, rabbit, tmp_path) as (auth, gateway, pulse):
        auth.mail.mails.clear()
        transport = httpx.ASGITransport(app=gateway)
        async with httpx.AsyncClient(transport=transport, base_url="https://sendchief.test") as client:
            yield auth, gateway, client, pulse


async def sign_in(stack: World, email: str) -> dict[str, str]:
    auth, _, client, _ = stack
    body = {"email": email, "password": PASSWORD, "name": "Ada"}
    assert (await client.post("/v1/auth/signup", json=body)).status_code == 202
    await auth.send_mail()
    assert (await client.post("/v1/auth/confirm", json={"token": auth.link_token(email)})).status_code == 200
    answer = await client.post("/v1/auth/sessions", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def create_workspace(stack: World, headers: dict[str, str], name: str) -> str:
    _, gateway, client, _ = stack
    answer = await client.post(
        "/v1/workspaces", json={"name": name}, headers={**headers, "Idempotency-Key": new_id("evt")}
    )
    assert answer.status_code == 201, answer.text
    workspace_id = str(answer.json()["id"])
    owner = (await client.get("/v1/me", headers=headers)).json()["id"]
    await eventually(lambda: gateway.authority.role(owner, workspace_id) == "owner")
    return workspace_id


async def test_from_sign_up_to_the_wall_between_workspaces(stack: World) -> None:
    auth, gateway, client, _ = stack
    ada, bob = await sign_in(stack, "ada@people.test"), await sign_in(stack, "bob@people.test")
    mine, foreign = await create_workspace(stack, ada, "A"), await create_workspace(stack, bob, "B")
    own = await client.get(f"/v1/workspaces/{mine}", headers=ada)
    assert (own.status_code, own.json()["role"]) == (200, "owner")
    answers = [
        await client.get(f"/v1/workspaces/{identifier}", headers=ada)
        for identifier in (foreign, new_id("ws"))
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].content == answers[1].content

    invited = await client.post(
        f"/v1/workspaces/{mine}/invitations",
        json={"email": "bob@people.test"},
        headers={**ada, "Idempotency-Key": "i1"},
    )
    assert invited.status_code == 201, invited.text
    await auth.send_mail()
    token = auth.link_token("bob@people.test")
    joined = await client.post("/v1/invitations/accept", json={"token": token}, headers=bob)
    assert joined.status_code == 200
    again = await client.post("/v1/invitations/accept", json={"token": token}, headers=bob)
    assert again.status_code == 410
    me = (await client.get("/v1/me", headers=bob)).json()["id"]
    await eventually(lambda: gateway.authority.role(me, mine) == "member")
    assert (await client.get(f"/v1/workspaces/{mine}/members", headers=bob)).status_code == 200
    assert (await client.get(f"/v1/workspaces/{mine}/audit", headers=bob)).status_code == 403


async def test_a_key_works_until_it_is_revoked(stack: World) -> None:
    _, gateway, client, _ = stack
    ada = await sign_in(stack, "keys@people.test")
    workspace_id = await create_workspace(stack, ada, "K")
    made = await client.post(
        f"/v1/workspaces/{workspace_id}/api-keys",
        json={"name": "partner", "scopes": ["members:read"]},
        headers={**ada, "Idempotency-Key": "k1"},
    )
    assert made.status_code == 201, made.text
    key = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await client.get(f"/v1/workspaces/{workspace_id}/members", headers=key)).status_code == 200
    assert (await client.get(f"/v1/workspaces/{workspace_id}/audit", headers=key)).status_code == 403
    refused = await client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": "x@people.test"},
        headers={**key, "Idempotency-Key": "k2"},
    )
    assert refused.status_code == 403
    path = f"/v1/workspaces/{workspace_id}/api-keys/{made.json()['id']}"
    assert (await client.delete(path, headers=ada)).status_code == 204
    await eventually(lambda: gateway.authority.ended(made.json()["id"]))
    assert (await client.get(f"/v1/workspaces/{workspace_id}/members", headers=key)).status_code == 401


async def test_refresh_and_sign_out_through_the_gateway(stack: World) -> None:
    _, gateway, client, _ = stack
    ada = await sign_in(stack, "cookie@people.test")
    marked = {"X-SC-CSRF": "1", "Origin": "https://sendchief.test", "Sec-Fetch-Site": "same-origin"}
    refreshed = await client.post("/v1/auth/sessions/refresh", headers=marked)
    assert refreshed.status_code == 200, refreshed.text
    assert (await client.post("/v1/auth/sessions/refresh", headers={"X-SC-CSRF": "1"})).status_code == 200
    assert (await client.post("/v1/auth/sessions/refresh")).status_code == 403
    assert (await client.delete("/v1/auth/sessions/current", headers=ada)).status_code == 204
    await eventually(lambda: len(gateway.authority._ended) > 0)
    assert (await client.get("/v1/me", headers=ada)).status_code == 401
    assert (await client.post("/v1/auth/sessions/refresh", headers=marked)).status_code == 401


async def test_with_the_bus_silent_reads_go_on_changes_stop_and_revocation_still_counts(stack: World) -> None:
    _, gateway, client, pulse = stack
    ada = await sign_in(stack, "silent@people.test")
    workspace_id = await create_workspace(stack, ada, "S")
    await pulse.stop()
    await eventually(lambda: not gateway.authority.fresh)
    assert (await client.get(f"/v1/workspaces/{workspace_id}", headers=ada)).status_code == 200
    assert (await client.get(f"/v1/workspaces/{new_id('ws')}", headers=ada)).status_code == 404
    change = await client.post("/v1/workspaces", json={"name": "T"}, headers={**ada, "Idempotency-Key": "s1"})
    assert (change.status_code, change.json()["code"]) == (503, "unavailable")
    pulse.start()
    await eventually(lambda: gateway.authority.fresh, 10)
    again = await client.post("/v1/workspaces", json={"name": "T"}, headers={**ada, "Idempotency-Key": "s1"})
    assert again.status_code == 201


async def test_request_ids_are_one_at_the_edge_and_inside(stack: World) -> None:
    _, _, client, _ = stack
    answer = await client.post(
        "/v1/auth/sessions", json={"email": "nobody@people.test", "password": PASSWORD}
    )
    assert answer.status_code == 401
    assert answer.json()["instance"] == answer.headers["x-request-id"]


async def test_health_and_the_documents_are_served(stack: World) -> None:
    _, _, client, _ = stack
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["authority"]) == (200, "ok")
    assert "sc_gateway_requests_total" in (await client.get("/metrics")).text
    assert (await client.get("/v1/openapi.json")).json()["openapi"].startswith("3.1")
    page = await client.get("/v1/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert len(page.headers.get_list("content-security-policy")) == 1


@pytest.mark.asvs("16.3.3")
async def test_an_attack_is_seen_by_the_workspace_that_it_was_aimed_at(stack: World) -> None:
    """From the request to the gateway's event, auth's consumer and the owner's page (over the broker: test_threats)."""
    auth, gateway, client, _ = stack
    ada = await sign_in(stack, "watch@people.test")
    workspace_id = await create_workspace(stack, ada, "W")
    await gateway.documentation.check()
    headers = {**ada, "X-Forwarded-For": "192.0.2.5", "Idempotency-Key": "t1"}
    attack = {"name": "<script>alert(1)</script>", "scopes": ["servers:read"]}
    await client.post(f"/v1/workspaces/{workspace_id}/api-keys", json=attack, headers=headers)
    for event in gateway.guard.threats.take():
        await auth.bus.deliver(event)
    page = (await client.get(f"/v1/workspaces/{workspace_id}/threats", headers=ada)).json()
    kinds = {item["kind"]: item for item in page["items"]}
    assert kinds["signature"]["source"] == "192.0.2.5"
    assert "xss.script" in kinds["signature"]["signatures"]
