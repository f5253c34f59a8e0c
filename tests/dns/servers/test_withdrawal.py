"""A server that ends takes its records with it, and nothing else."""

from __future__ import annotations

from datetime import timedelta

from shared.contracts.provisioner_events import ServerDnsDesired
from tests.dns.plans.test_applying import prepared, strangers
from tests.dns.samples import server
from tests.dns.stage import Stage


def withdrawn(wanted: ServerDnsDesired) -> ServerDnsDesired:
    return wanted.model_copy(update={"generation": wanted.generation + 1, "withdrawn": True})


async def test_all_records_of_ours_go_and_foreign_ones_stay(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    before = strangers(hosted)
    await stage.want(withdrawn(wanted))
    await stage.work(5)
    assert strangers(hosted) == before
    assert len(hosted.records) == len(before) == 2
    assert stage.platform.records == {}
    last = await stage.last(wanted.server_id)
    assert (last.withdrawn, last.generation, last.forward, last.reverse, last.records) == (
        True,
        2,
        True,
        True,
        (),
    )
    assert await stage.owned(server_id=wanted.server_id) == []


async def test_another_server_keeps_its_names(stage: Stage) -> None:
    one, other = server(), server(ipv4="51.15.0.8", ipv6="2a03:4000:1::8")
    await stage.want(one)
    await stage.want(other)
    await stage.work()
    await stage.want(withdrawn(one))
    await stage.work()
    assert {item.name.endswith(other.hostname) for item in stage.platform.records.values()} == {True}
    assert (await stage.last(other.server_id)).forward


async def test_withdrawal_is_told_of_only_when_no_server_shows_the_names(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    stage.world.overrides[wanted.hostname, "A"] = frozenset({str(wanted.ipv4)})
    await stage.want(withdrawn(wanted))
    await stage.work(5)
    last = await stage.last(wanted.server_id)
    assert (last.withdrawn, last.forward) == (True, False)
    del stage.world.overrides[wanted.hostname, "A"]
    await stage.work(5)
    assert (await stage.last(wanted.server_id)).forward


async def test_an_empty_listing_does_not_pass_for_removal(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    stage.world.empty_listings = 3
    await stage.want(withdrawn(wanted))
    await stage.work(1)
    assert len(stage.platform.records) == 7
    assert not (await stage.last(wanted.server_id)).forward
    await stage.work(8)
    assert stage.platform.records == {}
    assert (await stage.last(wanted.server_id)).forward


async def test_a_lost_answer_to_the_removal_is_recognised(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    stage.world.lose_answers = 1
    await stage.want(withdrawn(wanted))
    await stage.work(40)
    assert stage.platform.records == {}
    assert (await stage.last(wanted.server_id)).forward


async def test_names_withdrawn_right_after_a_lost_write_do_not_stay_behind(stage: Stage) -> None:
    wanted = server()
    stage.world.lose_answers = 1
    await stage.want(wanted)
    await stage.work(1)
    assert len(stage.platform.records) == 7
    await stage.want(withdrawn(wanted))
    await stage.work(40)
    assert stage.platform.records == {}
    assert (await stage.last(wanted.server_id)).forward


async def test_a_server_that_never_had_names_is_gone_at_once(stage: Stage) -> None:
    wanted = server(withdrawn=True)
    await stage.want(wanted)
    await stage.work(1)
    last = await stage.last(wanted.server_id)
    assert (last.withdrawn, last.forward) == (True, True)


async def test_a_withdrawn_server_does_not_come_back_by_a_late_event(stage: Stage) -> None:
    wanted = server()
    await stage.want(withdrawn(wanted))
    await stage.work(2)
    await stage.want(wanted)
    await stage.want(wanted.model_copy(update={"generation": 9}))
    await stage.work(3)
    assert stage.platform.records == {}


async def test_records_behind_a_revoked_token_are_given_up_after_long_patience_and_audited(
    stage: Stage,
) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    hosted.token = "revoked"
    await stage.want(withdrawn(wanted))
    await stage.work(5)
    assert not (await stage.last(wanted.server_id)).forward
    assert stage.platform.records == {}
    hosted.records = {key: item for key, item in hosted.records.items() if not item.comment}
    await stage.work(3, step=60)
    assert not (await stage.last(wanted.server_id)).forward
    stage.clock.advance(timedelta(days=4))
    await stage.work(3)
    assert (await stage.last(wanted.server_id)).forward
    left = [
        item for item in await stage.bus.envelopes() if item.data.get("action") == "dns.record.left_behind"
    ]
    assert len(left) == 14


async def test_a_zone_that_its_owner_removed_holds_nothing_back(stage: Stage) -> None:
    hosted, zone_id, wanted = await prepared(stage)
    stage.world.zone("other.com", hosted.token)
    await stage.approve(await stage.ready_plan(zone_id))
    await stage.work(3)
    del stage.world.zones["zone-company.com"]
    await stage.want(withdrawn(wanted))
    await stage.work(6)
    assert (await stage.last(wanted.server_id)).forward
