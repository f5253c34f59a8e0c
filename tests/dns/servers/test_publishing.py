"""A server's names are written, verified forward and then reverse, and told of at each change."""

from __future__ import annotations

import asyncio

from services.dns.ports import ProviderRefused
from tests.dns.samples import digest, server
from tests.dns.stage import Stage


def point_back(stage: Stage, hostname: str, *addresses: str | None) -> None:
    for address in addresses:
        assert address is not None
        stage.world.pointers[address] = hostname


async def test_names_are_written_in_one_batch_and_verified_forward(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    assert len(stage.world.batches) == 1
    assert len(stage.world.batches[0].posts) == 7
    last = await stage.last(wanted.server_id)
    assert (last.generation, last.forward, last.reverse) == (1, True, False)
    assert {(item.type, item.state) for item in last.records} == {
        ("A", "verified"), ("AAAA", "verified"), ("TLSA", "verified"), ("TXT", "verified"), ("CAA", "verified"),
        ("PTR", "missing"),
    }  # fmt: skip


async def test_reverse_is_told_of_once_the_pointers_are_set(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    before = len(await stage.verified(wanted.server_id))
    await stage.work(3)
    assert len(await stage.verified(wanted.server_id)) == before
    point_back(stage, wanted.hostname, wanted.ipv4, wanted.ipv6)
    await stage.work(3)
    last = await stage.last(wanted.server_id)
    assert last.forward
    assert last.reverse
    versions = [
        item.aggregateversion for item in await stage.bus.envelopes() if item.subject == wanted.server_id
    ]
    assert versions == sorted(set(versions))


async def test_a_pointer_to_another_name_is_wrong(stage: Stage) -> None:
    wanted = server()
    point_back(stage, "somebody-else.net", wanted.ipv4)
    await stage.want(wanted)
    await stage.work(2)
    states = {(item.name, item.type): item.state for item in (await stage.last(wanted.server_id)).records}
    assert states["7.0.15.51.in-addr.arpa", "PTR"] == "wrong"


async def test_the_resolver_is_not_asked_before_all_servers_show_it(stage: Stage) -> None:
    stage.world.lagging = {"ns2.provider.net"}
    wanted = server()
    await stage.want(wanted)
    await stage.work(3)
    assert stage.world.asked_resolver == []
    assert not (await stage.last(wanted.server_id)).forward
    stage.world.lagging = set()
    await stage.work(2)
    assert (await stage.last(wanted.server_id)).forward


async def test_a_new_generation_overwrites_the_old_key_only(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    await stage.want(
        wanted.model_copy(update={"generation": 2, "tlsa_spki_sha256": (digest("next"), digest("third"))})
    )
    await stage.work()
    assert [len(batch) for batch in stage.world.batches] == [7, 1]
    last = await stage.last(wanted.server_id)
    assert (last.generation, last.forward) == (2, True)
    assert stage.world.served(f"_25._tcp.{wanted.hostname}", "TLSA") == {
        f"3 1 1 {digest('next')}",
        f"3 1 1 {digest('third')}",
    }


async def test_an_older_generation_that_arrives_late_changes_nothing(stage: Stage) -> None:
    wanted = server(generation=5)
    await stage.want(wanted)
    await stage.want(wanted.model_copy(update={"generation": 4, "ipv4": "51.15.0.8"}))
    await stage.work()
    assert stage.world.served(wanted.hostname, "A") == {wanted.ipv4}


async def test_a_lost_answer_is_recognised_and_nothing_is_written_twice(stage: Stage) -> None:
    stage.world.lose_answers = 1
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    assert len(stage.world.batches) == 1
    assert len(stage.platform.records) == 7
    assert len(await stage.owned(server_id=wanted.server_id)) == 7
    assert (await stage.last(wanted.server_id)).forward


async def test_a_lying_empty_listing_neither_duplicates_nor_forgets(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    stage.world.empty_listings = 1
    await stage.want(wanted.model_copy(update={"generation": 2}))
    await stage.work()
    assert len(stage.platform.records) == 7
    assert len(await stage.owned(server_id=wanted.server_id)) == 7
    assert (await stage.last(wanted.server_id)).forward


async def test_a_lost_answer_behind_a_lying_listing_is_still_recognised(stage: Stage) -> None:
    stage.world.lose_answers, stage.world.empty_listings = 1, 2
    wanted = server()
    await stage.want(wanted)
    await stage.work(10)
    assert len(stage.platform.records) == 7
    assert len(await stage.owned(server_id=wanted.server_id)) == 7


async def test_a_refused_batch_changes_nothing_and_is_tried_again(stage: Stage) -> None:
    stage.world.refuse = ProviderRefused("content is invalid", "1004")
    wanted = server()
    await stage.want(wanted)
    await stage.work(1)
    assert stage.platform.records == {}
    assert await stage.owned() == []
    await stage.work(8)
    assert (await stage.last(wanted.server_id)).forward


async def test_a_foreign_record_at_the_host_name_is_left_alone(stage: Stage) -> None:
    wanted = server()
    stranger = stage.world.add(stage.platform, wanted.hostname, "A", "51.15.0.99")
    await stage.want(wanted)
    await stage.work()
    assert stage.platform.records[stranger.id] == stranger
    assert not (await stage.last(wanted.server_id)).forward


async def test_what_somebody_removes_from_our_zone_is_put_back(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    await stage.work()
    victim = next(item for item in stage.platform.records.values() if item.type == "AAAA")
    del stage.platform.records[victim.id]
    await stage.work(40, step=10.0)
    assert stage.world.served(wanted.hostname, "AAAA") == {wanted.ipv6}
    assert (await stage.last(wanted.server_id)).forward


async def test_a_wrong_key_in_dns_is_seen_and_seen_to_be_gone(stage: Stage) -> None:
    wanted = server()
    point_back(stage, wanted.hostname, wanted.ipv4, wanted.ipv6)
    await stage.want(wanted)
    await stage.work()
    assert (await stage.last(wanted.server_id)).forward
    key = (f"_25._tcp.{wanted.hostname}", "TLSA")
    stage.world.overrides[key] = frozenset({f"3 1 1 {digest('evil')}"})
    await stage.work(40, step=10.0)
    assert not (await stage.last(wanted.server_id)).forward
    del stage.world.overrides[key]
    await stage.work(10, step=10.0)
    assert (await stage.last(wanted.server_id)).forward


async def test_refused_names_are_not_written(stage: Stage) -> None:
    wanted = server(ipv4="10.0.0.1")
    await stage.want(wanted)
    await stage.work()
    assert stage.world.batches == []
    assert "public" in str((await stage.nameset(wanted.server_id)).problem)


async def test_a_host_name_belongs_to_one_server(stage: Stage) -> None:
    first = server()
    await stage.want(first)
    second = server(hostname=first.hostname, ipv4="51.15.0.8")
    await stage.want(second)
    await stage.work()
    assert stage.world.served(first.hostname, "A") == {first.ipv4}
    assert "another server" in str((await stage.nameset(second.server_id)).problem)


async def test_two_workers_do_not_write_the_same_names(stage: Stage) -> None:
    wanted = server()
    await stage.want(wanted)
    turns = await asyncio.gather(*(stage.resources.namesets.drain() for _ in range(4)))
    assert sum(turns) == 1
    assert len(stage.world.batches) == 1


async def test_a_steady_name_set_is_left_in_peace(stage: Stage) -> None:
    wanted = server()
    point_back(stage, wanted.hostname, wanted.ipv4, wanted.ipv6)
    await stage.want(wanted)
    await stage.work()
    assert await stage.resources.namesets.drain() == 0
    row = await stage.nameset(wanted.server_id)
    assert (row.due_at - stage.clock.now()).total_seconds() > 200
