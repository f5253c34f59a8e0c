"""From a zone to an applied plan by the API, and plans that are refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.ids import new_id
from tests.dns.caller import Caller, proven
from tests.dns.stage import Stage


async def test_a_zone_is_registered_proven_planned_and_applied(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    zone = (await owner.get(f"/zones/{zone_id}")).json()
    assert (zone["state"], zone["dnssec"], zone["challenge"]) == ("proven", True, None)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    assert (plan["state"], plan["by_hand"], len(plan["creates"])) == ("ready", False, 14)
    record = next(item for item in plan["creates"] if item["type"] == "MX")
    assert record["value"].startswith("10 s")
    assert record["explanation"] == "Mail for the domain is delivered to its mail server."
    applied = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": plan["id"]})
    assert (applied.status_code, applied.json()) == (202, {"plan_id": plan["id"], "state": "approved"})
    await stage.work(2)
    after = (await owner.get(f"/zones/{zone_id}/plan")).json()
    assert (after["creates"], len(after["unchanged"])) == ([], 14)
    assert after["last_applied"]["plan_id"] == plan["id"]
    assert after["last_applied"]["state"] == "applied"
    records = (await owner.get(f"/zones/{zone_id}/records?limit=100")).json()
    assert {item["state"] for item in records["items"]} == {"verified"}
    assert len(records["items"]) == 14


async def test_two_applies_of_one_plan_take_effect_once(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    body = {"plan_id": plan["id"]}
    answers = await asyncio.gather(*(owner.post(f"/zones/{zone_id}/plan/apply", body) for _ in range(5)))
    assert {item.status_code for item in answers} == {202}
    await stage.work(2)
    assert [len(batch.posts) for batch in stage.world.batches] == [7, 14]
    again = await owner.post(f"/zones/{zone_id}/plan/apply", body)
    assert (again.status_code, again.json()["state"]) == (202, "applied")
    await stage.work(2)
    assert len(stage.world.batches) == 2
    approvals = [
        item for item in await stage.bus.envelopes() if item.data.get("action") == "dns.plan.approved"
    ]
    assert len(approvals) == 1


async def test_an_unknown_plan_is_not_found_and_a_superseded_one_is_stale(
    stage: Stage, owner: Caller
) -> None:
    zone_id = await proven(stage, owner)
    unknown = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": new_id("pln")})
    assert unknown.status_code == 404
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    hosted = stage.world.zones["zone-company.com"]
    stage.world.add(hosted, "company.com", "MX", "1 mx.old.net")
    stage.clock.advance(timedelta(seconds=30))
    await owner.get(f"/zones/{zone_id}/plan")
    await stage.work(1)
    stale = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": plan["id"]})
    assert (stale.status_code, stale.json()["code"]) == (409, "plan_stale")


async def test_an_expired_plan_is_refused(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    stage.clock.advance(timedelta(hours=1))
    refused = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": plan["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_expired")
    assert (await owner.get(f"/zones/{zone_id}/plan")).json()["state"] == "computing"
    await stage.work(1)
    assert (await owner.get(f"/zones/{zone_id}/plan")).json()["state"] == "ready"


async def test_only_conflicts_of_the_plan_can_be_accepted(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    body = {"plan_id": plan["id"], "accept": ["spf_merge:company.com"]}
    refused = await owner.post(f"/zones/{zone_id}/plan/apply", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "conflict_not_acceptable")


async def test_a_txt_zone_shows_its_challenge_and_cannot_be_applied(stage: Stage, owner: Caller) -> None:
    hosted = stage.world.zone("company.com", "unknown-to-us")
    zone = (await owner.post("/zones", {"name": "Company.com.", "method": "txt"})).json()
    assert zone["name"] == "company.com"
    assert zone["challenge"]["name"] == "_sendchief-challenge.company.com"
    early = await owner.get(f"/zones/{zone['id']}/plan")
    assert (early.status_code, early.json()["code"]) == (409, "zone_not_proven")
    stage.world.add(hosted, zone["challenge"]["name"], "TXT", zone["challenge"]["value"])
    assert (await owner.post(f"/zones/{zone['id']}/proof")).status_code == 202
    await stage.work(2)
    plan = (await owner.get(f"/zones/{zone['id']}/plan")).json()
    assert plan["by_hand"] is True
    refused = await owner.post(f"/zones/{zone['id']}/plan/apply", {"plan_id": plan["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "zone_by_hand")
