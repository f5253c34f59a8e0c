"""Calls between services: on the list or not made, signed for one callee, failures as the errors they were."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from shared.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Unavailable
from shared.http import CallNotAllowed, InternalClient
from shared.settings import ServiceSettings
from shared.web import IdentityDep, build_app, internal
from tests.fixtures.identity import Trust

router = APIRouter()
answers: dict[str, Any] = {}


@router.put("/internal/mailboxes/{mailbox_id}", dependencies=[internal("provisioner")])
async def put_mailbox(mailbox_id: str, identity: IdentityDep) -> dict[str, str | None]:
    if mailbox_id in answers:
        raise answers[mailbox_id]
    return {"caller": identity.issuer, "workspace": identity.workspace_id, "request": identity.request_id}


def client_of(trust: Trust, caller: str) -> InternalClient:
    vault = build_app("vault", trust.settings(ServiceSettings, "vault", "api"), [router])
    settings = trust.settings(ServiceSettings, caller, "worker")
    return InternalClient(settings, "vault", transport=httpx.ASGITransport(vault))


@pytest.fixture
async def client(trust: Trust) -> AsyncIterator[InternalClient]:
    made = client_of(trust, "provisioner")
    yield made
    await made.aclose()


async def test_a_listed_call_is_answered_and_carries_the_workspace(client: InternalClient) -> None:
    answer = await client.request(
        "PUT", "/internal/mailboxes/mbx_1", workspace_id="ws_1", request_id="req_1", json={}
    )
    assert answer == {"caller": "provisioner", "workspace": "ws_1", "request": "req_1"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/internal/mailboxes/mbx_1"),
        ("PUT", "/internal/mailboxes/mbx_1/more"),
        ("PUT", "/internal/mailboxes/"),
        ("PUT", "/internal/mailboxes/mbx_1?x=1"),
        ("GET", "/internal/provider-tokens/ptk_1"),
        ("GET", "/v1/me"),
    ],
)
async def test_a_call_that_is_not_listed_is_not_made(client: InternalClient, method: str, path: str) -> None:
    with pytest.raises(CallNotAllowed):
        await client.request(method, path)


async def test_a_caller_that_is_not_listed_is_refused_by_the_callee_too(
    trust: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.http.client._allows", lambda *_: True)
    client = client_of(trust, "dns")
    with pytest.raises(Forbidden):
        await client.request("PUT", "/internal/mailboxes/mbx_1")
    await client.aclose()


@pytest.mark.parametrize(
    "error", [NotFound(), Conflict("taken"), Invalid("bad"), Forbidden("no"), Unavailable(retry_after=3)]
)
async def test_failures_come_back_as_what_they_were(client: InternalClient, error: Exception) -> None:
    answers["mbx_bad"] = error
    with pytest.raises(type(error)):
        await client.request("PUT", "/internal/mailboxes/mbx_bad")


@pytest.mark.parametrize("error", [RuntimeError("bug"), Gone()])
async def test_a_defect_of_the_callee_is_unavailable(client: InternalClient, error: Exception) -> None:
    answers["mbx_bug"] = error
    with pytest.raises(Unavailable):
        await client.request("PUT", "/internal/mailboxes/mbx_bug")


async def test_a_callee_that_is_away_is_unavailable(trust: Trust, tmp_path: Any) -> None:
    settings = trust.settings(ServiceSettings, "provisioner", "worker", services_dir=tmp_path)
    client = InternalClient(settings, "vault")
    with pytest.raises(Unavailable, match="vault"):
        await client.request("PUT", "/internal/mailboxes/mbx_1")
    await client.aclose()
