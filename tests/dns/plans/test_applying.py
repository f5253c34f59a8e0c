"""An approved plan is carried out once, in one batch, and only while it fits."""

from __future__ import annotations

import asyncio

import pytest

from services.dns.ports import ProviderRefused
from shared.contracts.dns_events import DomainBroken, DomainVerified
from shared.contracts.provisioner_events import ServerDnsDesired
from tests.dns.doubles import MemoryZone
from tests.dns.samples import domain, server
from tests.dns.stage import Stage


async def prepared(stage: Stage, *, signed: bool = True) -> tuple[MemoryZone, str, ServerDnsDesired]:
    """A proven zone with records of its owner, a server with a domain in it, and the plan for it."""
    hosted = stage.world.zone("company.com", "zone-token", signed=signed)
    stage.world.add(hosted, "www.company.com", "A", "51.15.9.9")
    stage.world.add(hosted, "company.com", "TXT", "google-site-verification=1")
    wanted = server(domains=(domain("company.com"),))
    zone_id = await stage.register(wanted.workspace_id, "company.com")
    await stage.want(wanted)
    await stage.work(3)
    return hosted, zone_id, wanted


def strangers(hosted: MemoryZone) -> list[str]:
    return sorted(f"{item.name} {item.value}" for item in hosted.records.values() if not item.comment)


@pytest.mark.asvs("2.3.1")
async def test_nothing_is_written_before_approval(stage: Stage) -> None:
    hosted, zone_id, _ = await prepared(stage)
    content = (await stage.ready_plan(zone_id)).content
    assert len(hosted.records) == 2
    assert (len(content["creates"]), content["updates"], content["deletes"]) == (14, [], [])
    assert {item["name"] for item in content["foreign"]} == {"www.company.com", "company.com"}


async def test_an_approved_plan_is_one_batch_and_makes_the_domain_verified(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    before = strangers(hosted)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    assert [len(batch.posts) for batch in stage.world.batches] == [7, 14]
    assert strangers(hosted) == before
    last = await stage.last(wanted.server_id)
    assert [(item.name, item.verified) for item in last.domains] == [("company.com", True)]
    states = [(plan.state, plan.detail) for plan in await stage.plans(zone_id)]
    assert ("applied", None) in states
    content = (await stage.ready_plan(zone_id)).content
    assert (content["creates"], len(content["unchanged"])) == ([], 14)


async def test_two_turns_with_one_approval_write_once(stage: Stage) -> None:
    _, zone_id, _ = await prepared(stage)
    await stage.approve(await stage.ready_plan(zone_id))
    await asyncio.gather(*(stage.resources.zones.drain() for _ in range(4)))
    await stage.work(3)
    assert [len(batch.posts) for batch in stage.world.batches] == [7, 14]


async def test_a_plan_that_no_longer_fits_the_zone_is_not_applied(stage: Stage) -> None:
    hosted, zone_id, _ = await prepared(stage)
    plan = await stage.ready_plan(zone_id)
    stage.world.add(hosted, "company.com", "MX", "1 mx.old.net")
    await stage.approve(plan)
    await stage.work(2)
    assert len(stage.world.batches) == 1
    states = {item.id: item for item in await stage.plans(zone_id)}
    assert states[plan.id].state == "stale"
    fresh = await stage.ready_plan(zone_id)
    assert [item["kind"] for item in fresh.content["conflicts"]] == ["mx_exists"]


async def test_a_record_elsewhere_in_the_zone_does_not_void_a_plan(stage: Stage) -> None:
    hosted, zone_id, _ = await prepared(stage)
    plan = await stage.ready_plan(zone_id)
    stage.world.add(hosted, "shop.company.com", "A", "51.15.9.10")
    await stage.approve(plan)
    await stage.work(2)
    assert {item.id: item.state for item in await stage.plans(zone_id)}[plan.id] == "applied"


async def test_a_foreign_mail_exchanger_holds_the_domain_back_as_a_conflict(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    stage.world.add(hosted, "company.com", "MX", "1 mx.old.net")
    await stage.work(1, step=400)
    await stage.work(1)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(4)
    last = await stage.last(wanted.server_id)
    assert {(item.type, item.state) for item in last.records if item.name == "company.com"} == {
        ("MX", "conflict"), ("TXT", "verified"),
    }  # fmt: skip
    assert not last.domains[0].verified


async def test_an_accepted_spf_merge_changes_the_customers_record_and_withdrawal_restores_it(
    stage: Stage,
) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    present = stage.world.add(hosted, "company.com", "TXT", "v=spf1 include:_spf.mail.com ~all")
    await stage.work(1, step=400)
    await stage.work(1)
    plan = await stage.ready_plan(zone_id)
    conflict = plan.content["conflicts"][0]
    await stage.approve(plan, [conflict["id"]])
    await stage.work(4)
    assert hosted.records[present.id].value == f"v=spf1 include:_spf.mail.com a:{wanted.hostname} ~all"
    assert hosted.records[present.id].comment == ""
    assert (await stage.last(wanted.server_id)).domains[0].verified
    await stage.want(wanted.model_copy(update={"generation": 2, "withdrawn": True}))
    await stage.work(6)
    assert hosted.records[present.id].value == present.value
    assert len(hosted.records) == 3
    assert (await stage.last(wanted.server_id)).forward


async def test_a_refused_batch_leaves_the_zone_untouched_and_says_why(stage: Stage) -> None:
    hosted, zone_id, _ = await prepared(stage)
    plan = await stage.ready_plan(zone_id)
    await stage.approve(plan)
    stage.world.refuse = ProviderRefused("DNS name is invalid.", "9000")
    await stage.work(2)
    assert len(hosted.records) == 2
    row = {item.id: item for item in await stage.plans(zone_id)}[plan.id]
    assert (row.state, row.detail) == ("failed", "DNS name is invalid.")


async def test_a_lost_answer_counts_as_applied_once_it_is_seen(stage: Stage) -> None:
    _, zone_id, wanted = await prepared(stage)
    plan = await stage.ready_plan(zone_id)
    await stage.approve(plan)
    stage.world.lose_answers = 1
    await stage.work(4)
    assert [len(batch.posts) for batch in stage.world.batches] == [7, 14]
    assert {item.id: item.state for item in await stage.plans(zone_id)}[plan.id] == "applied"
    assert len(await stage.owned(zone_id=zone_id)) == 14
    assert (await stage.last(wanted.server_id)).domains[0].verified


async def test_a_token_that_was_withdrawn_fails_the_plan_and_is_told_of(stage: Stage) -> None:
    hosted, zone_id, _ = await prepared(stage)
    plan = await stage.ready_plan(zone_id)
    await stage.approve(plan)
    hosted.token = "rotated"
    await stage.work(1)
    assert {item.id: item.state for item in await stage.plans(zone_id)}[plan.id] == "failed"
    assert "does not accept" in str((await stage.zone(zone_id)).detail)


async def test_a_removed_domain_loses_its_records_and_others_stay(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    before = strangers(hosted)
    await stage.want(wanted.model_copy(update={"generation": 2, "domains": ()}))
    await stage.work(3)
    assert strangers(hosted) == before
    assert len(hosted.records) == len(before)
    assert (await stage.last(wanted.server_id)).domains == ()
    assert len(stage.platform.records) == 7


async def told(stage: Stage, wanted: ServerDnsDesired) -> list[str]:
    """What was said of the server's domains, oldest first."""
    events = [
        each for each in await stage.bus.emitted_events() if isinstance(each, DomainVerified | DomainBroken)
    ]
    return [type(each).__name__ for each in events if each.server_id == wanted.server_id]


async def test_a_domain_is_told_verified_broken_and_verified_again_once_each(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    assert await told(stage, wanted) == []
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    await stage.work(2, step=4000)
    assert await told(stage, wanted) == ["DomainVerified"]
    lost = next(key for key, item in hosted.records.items() if item.type == "MX")
    kept = hosted.records.pop(lost)
    await stage.work(3, step=4000)
    assert await told(stage, wanted) == ["DomainVerified", "DomainBroken"]
    broken = [each for each in await stage.bus.emitted(DomainBroken) if each.server_id == wanted.server_id]
    assert "company.com MX" in broken[0].records
    hosted.records[lost] = kept
    await stage.work(3, step=4000)
    assert await told(stage, wanted) == ["DomainVerified", "DomainBroken", "DomainVerified"]


async def test_a_new_dkim_key_waits_for_approval(stage: Stage) -> None:
    _, zone_id, wanted = await prepared(stage)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    changed = wanted.domains[0].model_copy(update={"mta_sts_id": "20261123T080000"})
    await stage.want(wanted.model_copy(update={"generation": 2, "domains": (changed,)}))
    await stage.work(3)
    plan = await stage.ready_plan(zone_id)
    assert [(item["name"], item["before"]) for item in plan.content["updates"]] == [
        ("_mta-sts.company.com", '"v=STSv1; id=20261122T080000"')
    ]
    assert not (await stage.last(wanted.server_id)).domains[0].verified
    await stage.approve(plan)
    await stage.work(3)
    assert (await stage.last(wanted.server_id)).domains[0].verified


async def test_a_zone_by_hand_shows_what_to_make_and_notices_when_it_is_there(stage: Stage) -> None:
    hosted = stage.world.zone("company.com", "unknown-to-us")
    wanted = server(domains=(domain("company.com"),))
    zone_id = await stage.register(wanted.workspace_id, "company.com", method="txt")
    stage.world.add(hosted, "_sendchief-challenge.company.com", "TXT", f"challenge-{wanted.workspace_id}")
    await stage.want(wanted)
    await stage.work(3)
    creates = (await stage.ready_plan(zone_id)).content["creates"]
    assert len(creates) == 14
    for item in creates:
        stage.world.add(hosted, item["name"], item["type"], item["value"].replace('" "', "").strip('"'))
    await stage.work(3, step=2)
    assert (await stage.last(wanted.server_id)).domains[0].verified
    assert [len(batch.posts) for batch in stage.world.batches] == [7]
