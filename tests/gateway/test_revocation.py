"""What a gateway has acknowledged it acts on, also in what it had begun before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.auth_events import ApiKeyRevoked, MembershipChanged, SessionRevoked
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, eventually, served

KEY = "sc_live_abcdefgh_" + "k" * 32 + "_abcdef"


def removed(account: str, workspace: str, sequence: int = 1) -> MembershipChanged:
    return MembershipChanged(workspace_id=workspace, account_id=account, role=None, sequence=sequence)


async def test_an_answer_from_before_a_removal_is_asked_for_again(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage
    account, workspace = new_id("usr"), new_id("ws")
    made.know({})
    asked = 0

    async def introspect(question: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:  # auth has answered; before the answer is here, the removal is
            made.gateway.authority.apply(removed(account, workspace), 0.0)
            return {"active": True, "role": "member"}
        return {"active": True, "role": None}

    made.gateway.upstreams.introspect = introspect  # type: ignore[method-assign]
    answer = await made.client.get(f"/v1/workspaces/{workspace}/servers", headers=made.person(account))
    assert (answer.status_code, asked, echo.seen) == (404, 2, [])


async def test_a_key_that_was_revoked_while_it_was_looked_up_is_refused(stage: tuple[Edge, Echo]) -> None:
    made, echo = stage
    account, workspace, key_id = new_id("usr"), new_id("ws"), new_id("key")
    made.know({(account, workspace): "owner"})
    asked = 0

    async def introspect(question: Any) -> Any:
        nonlocal asked
        asked += 1
        revoked = ApiKeyRevoked(workspace_id=workspace, key_id=key_id, sequence=1)
        made.gateway.authority.apply(revoked, 0.0)
        return {
            "active": True, "account_id": account, "role": "owner", "workspace_id": workspace,
            "key_id": key_id, "scopes": ["servers:read"], "expires_at": "2099-01-01T00:00:00+00:00",
        }  # fmt: skip

    made.gateway.pipeline._keys._introspect = introspect
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = await made.client.get(f"/v1/workspaces/{workspace}/servers", headers=headers)
    assert (answer.status_code, echo.seen) == (401, [])


@pytest.mark.parametrize("what", ["session", "membership", "bus"])
async def test_rights_have_to_hold_at_the_end_of_a_body(stage: tuple[Edge, Echo], what: str) -> None:
    made, echo = stage
    account, workspace, session = new_id("usr"), new_id("ws"), new_id("ses")
    made.know({(account, workspace): "owner"})
    ended = SessionRevoked(session_id=session, account_id=account, sequence=1)

    def slowly(query: bytes, match: Any, head: Any, trail: Any) -> None:
        if what == "bus":
            made.gateway.authority.doubt()
        else:
            made.gateway.authority.apply(ended if what == "session" else removed(account, workspace), 0.0)

    made.answers[session] = {"active": True, "role": None}
    made.gateway.pipeline._guard.examine = slowly  # type: ignore[method-assign]
    answer = await made.client.post(
        f"/v1/workspaces/{workspace}/subscriptions",
        json={"plan": "mail-1", "zone": "fr-par-1"},
        headers={**made.person(account, session_id=session), "Idempotency-Key": "1"},
    )
    assert answer.status_code == {"session": 401, "membership": 404, "bus": 503}[what]
    assert echo.seen == []


async def test_a_stream_does_not_outlive_its_caller_s_rights_while_the_bus_is_silent(
    trust: Trust, tmp_path: Path
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"id: 1\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with served(app, tmp_path / "provisioner.sock"), edge(trust, tmp_path) as made:
        account, workspace, session = new_id("usr"), new_id("ws"), new_id("ses")
        made.know({(account, workspace): "member"})
        path = f"/v1/workspaces/{workspace}/jobs/{new_id('job')}/events"
        made.answers[session] = {"active": True, "role": "member"}
        asking = asyncio.create_task(made.client.get(path, headers=made.person(account, session_id=session)))
        await eventually(lambda: made.gateway.upstreams.pools["provisioner"].open_connections == 1)
        made.gateway.authority.doubt()
        await eventually(lambda: len(made.introspections) > 1)
        assert not asking.done()  # auth says that he may
        made.answers[session] = {"active": True, "role": None}
        assert (await asyncio.wait_for(asking, 5)).content == b"id: 1\n\n"
