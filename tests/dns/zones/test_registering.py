"""Which zones may be registered, and what that tells of others."""

from __future__ import annotations

import pytest

from shared.ids import new_id
from tests.dns.caller import Caller, proven
from tests.dns.stage import Stage


@pytest.mark.parametrize(
    "name",
    [
        "company.test",
        "localhost",
        "mail-platform.net",
        "mx.mail-platform.net",
        "a b.com",
        "1.2.3.4",
        "x.example.com",
    ],
)
async def test_names_that_nobody_may_claim_are_refused(owner: Caller, name: str) -> None:
    refused = await owner.post("/zones", {"name": name, "method": "txt"})
    assert (refused.status_code, refused.json()["code"]) == (422, "zone_not_usable")
    assert refused.json()["errors"][0]["field"] == "name"
    assert (await owner.get("/zones")).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "company.com", "method": "token"},
        {"name": "company.com", "method": "txt", "provider_token_id": new_id("ptk")},
        {"name": "company.com", "method": "file"},
        {"name": "company.com", "method": "txt", "state": "proven"},
        {"method": "txt"},
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(owner: Caller, body: dict[str, str]) -> None:
    assert (await owner.post("/zones", body)).status_code == 422


async def test_a_zone_is_registered_once_per_workspace(owner: Caller) -> None:
    body = {"name": "company.com", "method": "txt"}
    first = await owner.post("/zones", body, key="k1")
    replay = await owner.post("/zones", body, key="k1")
    assert replay.json() == first.json()
    second = await owner.post("/zones", body)
    assert (second.status_code, second.json()["code"]) == (409, "zone_exists")


async def test_registering_does_not_tell_that_another_workspace_has_the_name(
    stage: Stage, owner: Caller, stranger: Caller
) -> None:
    await proven(stage, owner)
    answer = await stranger.post("/zones", {"name": "company.com", "method": "txt"})
    assert answer.status_code == 201
    await stage.work(2)
    zone = (await stranger.get(f"/zones/{answer.json()['id']}")).json()
    assert zone["state"] == "proving"
    assert "workspace" not in zone["detail"]
