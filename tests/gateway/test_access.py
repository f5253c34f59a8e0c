"""Who gets in: tokens, keys, revocation, and what happens while the bus is silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.authority import Snapshot
from shared.contracts.auth_events import ApiKeyRevoked, Heartbeat, MembershipChanged, SessionRevoked
from shared.identity import InternalVerifier
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import KEY, Echo, Edge, edge, partner, served


def servers(workspace: str) -> str:
    return f"/v1/workspaces/{workspace}/servers"


async def test_the_service_is_told_who_asks_and_what_he_may(stage: tuple[Edge, Echo], trust: Trust) -> None:
    made, echo = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "member"})
    headers = {**made.person(account), "X-Forwarded-For": "192.0.2.9"}
    answer = await made.client.get(servers(workspace), headers=headers)
    assert answer.status_code == 200
    sent = echo.last_headers()
    identity = InternalVerifier(trust.directory, "provisioner").verify(sent["x-sc-identity"])
    assert (identity.subject, identity.workspace_id, identity.role) == (account, workspace, "member")
    assert "servers.read" in identity.permissions
    assert "credentials.export" not in identity.permissions
    assert (identity.client_ip, identity.maker) == ("192.0.2.9", None)
    assert sent["x-request-id"] == answer.headers["x-request-id"]
    assert "authorization" not in sent


async def test_a_token_for_one_service_is_used_again_and_never_at_another(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "owner"})
    headers = made.person(account)
    seen = set()
    for path in (servers(workspace), servers(workspace), f"/v1/workspaces/{workspace}/members"):
        await made.client.get(path, headers=headers)
        seen.add(echo.last_headers()["x-sc-identity"])
    assert len(seen) == 2


async def test_foreign_unknown_and_malformed_workspaces_and_routes_answer_the_same_bytes(
    stage: tuple[Edge, Echo],
) -> None:
    made, echo = stage
    account, mine, foreign = new_id("usr"), new_id("ws"), new_id("ws")
    made.know({(account, mine): "owner", (new_id("usr"), foreign): "owner"})
    answers = [
        await made.client.get(path, headers=made.person(account))
        for path in (
            servers(foreign),
            servers(new_id("ws")),
            servers("ws_nonsense"),
            "/v1/no/such/route",
            f"/v1/workspaces/{foreign}",
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert not echo.seen
    names = [sorted(set(answer.headers) - {"ratelimit", "ratelimit-policy"}) for answer in answers]
    assert all(item == names[0] for item in names)


async def test_the_answer_to_a_foreign_workspace_is_the_services_own_404(stage: tuple[Edge, Echo]) -> None:
    from shared.web.problems import not_found

    made, _ = stage
    made.know({})
    answer = await made.client.get(servers(new_id("ws")), headers=made.person())
    assert answer.content == bytes(not_found().body)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_key_reads_with_its_scope_and_cannot_write(stage: tuple[Edge, Echo], trust: Trust) -> None:
    made, echo = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "owner"})
    made.answers[KEY] = partner(account, workspace, "servers:read")
    headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "1"}
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    identity = InternalVerifier(trust.directory, "provisioner").verify(echo.last_headers()["x-sc-identity"])
    assert (identity.kind, identity.maker) == ("api_key", account)
    assert identity.permissions == {"servers.read", "subscriptions.read", "jobs.read", "workspace.read"}
    refused = await made.client.post(f"{servers(workspace)}/{new_id('srv')}/cancel", json={}, headers=headers)
    assert refused.status_code == 403
    assert (await made.client.get("/v1/me", headers=headers)).status_code == 403
    assert (await made.client.get(servers(new_id("ws")), headers=headers)).status_code == 404
    assert len(made.introspections) == 1


async def test_a_key_dies_with_its_makers_membership(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "owner"})
    made.answers[KEY] = partner(account, workspace, "servers:read")
    headers = {"Authorization": f"Bearer {KEY}"}
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    made.gateway.authority.apply(
        MembershipChanged(workspace_id=workspace, account_id=account, role=None, sequence=1), 0.0
    )
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 404


@pytest.mark.asvs("7.4.1")
async def test_what_is_revoked_is_refused_from_the_next_request_on(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace, session = new_id("usr"), new_id("ws"), new_id("ses")
    made.know({(account, workspace): "owner"})
    made.answers[KEY] = found = partner(account, workspace, "servers:read")
    person, key = made.person(account, session_id=session), {"Authorization": f"Bearer {KEY}"}
    for headers in (person, key):
        assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    made.gateway.authority.apply(SessionRevoked(session_id=session, account_id=account, sequence=1), 0.0)
    made.gateway.authority.apply(
        ApiKeyRevoked(workspace_id=workspace, key_id=found["key_id"], sequence=2), 0.0
    )
    for headers in (person, key):
        assert (await made.client.get(servers(workspace), headers=headers)).status_code == 401


async def test_a_changed_role_counts_from_the_next_request_on(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "owner"})
    path = f"/v1/workspaces/{workspace}/audit"
    assert (await made.client.get(path, headers=made.person(account))).status_code == 200
    made.gateway.authority.apply(
        MembershipChanged(workspace_id=workspace, account_id=account, role="member", sequence=1), 0.0
    )
    assert (await made.client.get(path, headers=made.person(account))).status_code == 403


async def test_who_joined_a_moment_ago_is_let_in_before_the_event_comes(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace, session = new_id("usr"), new_id("ws"), new_id("ses")
    made.know({})
    made.answers[session] = {"active": True, "role": "owner", "workspace_id": workspace}
    headers = made.person(account, session_id=session)
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    made.answers[session] = {"active": True, "role": None}
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 404


@pytest.mark.asvs("16.5.3")
async def test_without_a_heartbeat_reads_are_asked_for_and_changes_refused(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace, session = new_id("usr"), new_id("ws"), new_id("ses")
    made.gateway.authority.load(Snapshot(0, {(account, workspace): "owner"}, frozenset()))
    headers = {**made.person(account, session_id=session), "Idempotency-Key": "1"}
    made.answers[session] = {
        "active": True,
        "account_id": account,
        "role": "owner",
        "workspace_id": workspace,
    }
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    assert len(made.introspections) == 2
    answer = await made.client.post(f"{servers(workspace)}/{new_id('srv')}/cancel", json={}, headers=headers)
    assert answer.status_code == 503
    made.answers[session] = {"active": False}
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 401
    assert (await made.client.post("/v1/auth/signup", json={})).status_code == 200


async def test_without_a_heartbeat_no_key_is_believed_from_memory(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "owner"})
    made.answers[KEY] = partner(account, workspace, "servers:read")
    headers = {"Authorization": f"Bearer {KEY}"}
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 200
    made.gateway.authority.doubt()
    del made.answers[KEY]
    assert (await made.client.get(servers(workspace), headers=headers)).status_code == 401


async def test_an_old_heartbeat_proves_nothing(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    made.gateway.authority.load(Snapshot(0, {}, frozenset()))
    made.gateway.authority.apply(Heartbeat(sequence=0), 6.0)
    assert not made.gateway.authority.fresh
    made.gateway.authority.apply(Heartbeat(sequence=0), 4.0)
    assert made.gateway.authority.fresh


@pytest.mark.asvs("10.3.4")
async def test_a_step_up_route_wants_a_fresh_sign_in(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({(account, workspace): "owner"})
    path = f"/v1/workspaces/{workspace}"
    old = await made.client.request("DELETE", path, json={}, headers=made.person(account, signed_in_ago=400))
    assert (old.status_code, old.json()["code"]) == (401, "step_up_required")
    assert 'max_age="300"' in old.headers["www-authenticate"]
    fresh = await made.client.request("DELETE", path, json={}, headers=made.person(account))
    assert fresh.status_code == 200


@pytest.mark.asvs("2.4.1")
async def test_callers_are_slowed_down_with_headers_that_say_so(trust: Trust, tmp_path: Path) -> None:
    echo = Echo()
    async with (
        served(echo, tmp_path / "auth.sock"),
        edge(trust, tmp_path, rate_limit_signed_in=3, rate_limit_public=10) as made,
    ):
        made.know({})
        person = made.person()
        answers = [await made.client.get("/v1/me", headers=person) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"caller";q=3;w=60'
        assert answers[0].headers["ratelimit"].startswith('"caller";r=2;t=')
        assert int(answers[3].headers["retry-after"]) >= 1
        assert (await made.client.get("/v1/me", headers=made.person())).status_code == 200
        bad = [await made.client.get("/v1/me", headers={"Authorization": "Bearer x"}) for _ in range(3)]
        assert [answer.status_code for answer in bad] == [401, 401, 429]


async def test_a_creating_request_needs_an_idempotency_key(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage
    made.know({})
    answer = await made.client.post("/v1/workspaces", json={"name": "x"}, headers=made.person())
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert not echo.seen


async def test_a_wrong_method_says_which_are_right(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    answer = await made.client.options("/v1/workspaces", headers={"Origin": "https://evil.test"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
