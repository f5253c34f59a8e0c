"""From a paid subscription to Ready, with and without trouble at the cloud."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from bench.provisioner.building import MINIMUM
from services.provisioner.models import Address, CloudResource
from services.provisioner.ports import (
    CloudBusy,
    CloudDenied,
    CloudNotFound,
    CloudOutOfStock,
    CloudQuota,
    CloudRateLimited,
    CloudRefused,
    CloudUnavailable,
)
from services.provisioner.reconciler.backoff import Backoff
from services.provisioner.reconciler.engine import Engine
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from services.provisioner.reconciler.postgres import PostgresStore
from services.provisioner.reconciler.record import Recorder
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from shared.contracts.provisioner_events import (
    AddressReleased,
    AddressReserved,
    ServerDnsDesired,
    ServerReady,
)
from tests.provisioner.owned import ONE_OF_EACH, counts
from tests.provisioner.stage import Stage


async def addresses(stage: Stage) -> list[Address]:
    async with stage.database.transaction() as session:
        return list(await session.scalars(select(Address).order_by(Address.id)))


async def test_a_paid_server_becomes_ready(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    assert counts(stage) == ONE_OF_EACH
    now = await stage.server(server.id)
    assert now.ever_ready
    assert now.host_key_own
    assert [row.state for row in await addresses(stage)] == ["live", "live"]
    (ready,) = await stage.others.bus.emitted(ServerReady)
    assert (ready.server_id, ready.hostname) == (server.id, now.hostname)


async def test_the_names_are_announced_before_the_server_exists_and_completed_after(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    first, last = await stage.others.bus.emitted(ServerDnsDesired)
    assert (first.generation, first.tlsa_spki_sha256) == (1, ())
    assert (last.generation, last.tlsa_spki_sha256) == (2, ("a" * 64, "b" * 64))
    assert (first.ipv4, first.ipv6) == (last.ipv4, last.ipv6)


async def test_both_reverse_names_are_set(stage: Stage) -> None:
    stage.outside.cloud.faults.reverse_lag = 0.3
    server = await stage.paid()
    await stage.ready(server.id)
    names = {thing.data["reverse"] for thing in stage.outside.cloud.living("ip")}
    assert names == {(await stage.server(server.id)).hostname}


async def test_a_worker_that_takes_over_looks_for_a_reverse_name_before_it_asks_again(stage: Stage) -> None:
    stage.outside.cloud.faults.reverse_lag = 0.3
    server = await stage.paid()

    async def asked() -> bool:
        return stage.outside.cloud.calls["set_reverse"] > 0

    await stage.play(asked)
    plan = [type(step)() for step in PRESENT]  # as in another process
    stage.engine = Engine(
        PostgresStore(stage.database),
        stage.ports,
        Recorder(Backoff(), stage.settings.recheck_seconds, 1.0),
        owner="w2",
        present=plan,
        absent=ABSENT,
    )
    await stage.ready(server.id)
    assert stage.outside.cloud.calls["set_reverse"] == 2


async def test_the_one_time_key_is_removed_from_the_user_data(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    (content,) = stage.outside.cloud.user_data.values()
    assert b"PRIVATE KEY" not in content


async def test_the_happy_path_makes_each_thing_with_one_call(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    calls = stage.outside.cloud.calls
    assert (calls["create_instance"], calls["reserve_ip"], calls["create_security_group"]) == (1, 2, 1)
    assert (calls["power_on"], stage.outside.host.installs_started[server.id]) == (1, 1)
    # Before anything is made, in both zones where the server may stand, and before it is switched on.
    assert calls["list_instances"] == 3
    assert calls.total() <= 1.2 * sum(MINIMUM.values()), calls


async def test_a_listed_address_is_held_and_another_reserved(stage: Stage) -> None:
    stage.others.listed = {"198.51.100.16"}
    server = await stage.paid()
    held_at: list[set[str]] = []

    async def checked() -> bool:
        done = await stage.is_true(server.id, "ReputationClean")
        if done:
            held_at.append({str(one.data.get("address")) for one in stage.outside.cloud.living("ip")})
        return done

    await stage.play(checked)
    assert "198.51.100.16" in held_at[0]
    burned, *rest = [row for row in await addresses(stage) if row.family == 4]
    assert (burned.address, burned.state) == ("198.51.100.16", "burned")
    assert burned.listings[0]["blacklist"] == "zen.test"
    assert [row.address for row in rest] == ["198.51.100.17"]
    await stage.ready(server.id)
    assert counts(stage) == ONE_OF_EACH
    assert [event.address for event in await stage.others.bus.emitted(AddressReleased)] == ["198.51.100.16"]
    retried = [
        row
        for row in await stage.log(server.id)
        if row.step == "check_reputation" and row.outcome == "retrying"
    ]
    assert "zen.test" in (retried[0].message or "")


async def test_three_listed_addresses_stop_before_a_server_is_made(stage: Stage) -> None:
    stage.others.listed = {f"198.51.100.{n}" for n in (16, 17, 18)}
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    assert counts(stage)["instance"] == 0
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert stalled.reason == "AddressesRefused"


async def test_an_unanswered_question_about_an_address_is_asked_again(stage: Stage) -> None:
    stage.others.silent = True
    server = await stage.paid()

    async def asked() -> bool:
        return len(await stage.others.bus.emitted(AddressReserved)) == 2

    await stage.play(asked)
    async with stage.database.transaction() as session:
        for row in await session.scalars(select(Address)):
            row.asked_at = row.created_at.replace(year=2020)
    await stage.due_now(server.id)

    async def asked_again() -> bool:
        return len(await stage.others.bus.emitted(AddressReserved)) == 4

    await stage.play(asked_again)
    stage.others.silent = False
    await stage.ready(server.id)


@pytest.mark.parametrize("kind", ["ip", "security_group", "instance"])
async def test_a_create_whose_answer_was_lost_is_found_again(stage: Stage, kind: str) -> None:
    stage.outside.cloud.faults.lost[kind] = 1
    server = await stage.paid()
    await stage.ready(server.id)
    assert counts(stage) == ONE_OF_EACH


@pytest.mark.parametrize("kind", ["ip", "security_group", "instance"])
async def test_a_create_that_the_cloud_carries_out_late_is_found_and_not_repeated(
    stage: Stage, kind: str
) -> None:
    faults = stage.outside.cloud.faults
    faults.lost[kind], faults.late, faults.list_lag = 1, 0.2, 0.2
    server = await stage.paid()
    await stage.ready(server.id)
    assert counts(stage) == ONE_OF_EACH
    async with stage.database.transaction() as session:
        rows = await session.scalars(select(CloudResource).where(CloudResource.kind == kind))
        assert {row.attempt for row in rows} == {1}


async def test_a_lost_create_that_never_happened_is_repeated_after_the_quiet_window(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudUnavailable("504")]
    server = await stage.paid()
    await stage.ready(server.id)
    assert counts(stage) == ONE_OF_EACH
    async with stage.database.transaction() as session:
        row = (await session.scalars(select(CloudResource).where(CloudResource.kind == "instance"))).one()
    assert row.attempt == 2
    assert (row.intent_at - server.created_at).total_seconds() > stage.settings.quiet_window_seconds


async def test_a_create_that_comes_later_than_the_window_stays_off_and_is_swept(stage: Stage) -> None:

    faults = stage.outside.cloud.faults
    faults.lost["instance"], faults.late = 1, 1.0
    server = await stage.paid()
    await stage.ready(server.id)
    cloud = stage.outside.cloud

    async def arrived() -> bool:
        return len(cloud.living("instance")) == 2

    await stage.play(arrived)
    assert sum(cloud.powered.values()) == 1
    sweeper = Sweeper(PostgresFindings(stage.database), cloud, stage.settings, stage.ports.catalogue)

    async def alone() -> bool:
        await sweeper.run()
        return counts(stage) == ONE_OF_EACH

    await stage.play(alone)
    (left,) = cloud.living("instance")
    assert cloud.powered[left.id] == 1


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("get_instance", CloudNotFound("404")),
        ("get_instance", CloudUnavailable("503")),
        ("power_on", CloudBusy("409")),
        ("set_user_data", CloudRateLimited("429", retry_after=0.05)),
        ("set_rules", CloudUnavailable("503")),
        ("tag_volume", CloudBusy("409")),
        ("set_reverse", CloudUnavailable("503")),
        ("find_image", CloudNotFound("404")),
        ("create_instance", CloudRateLimited("429", retry_after=0.05)),
        ("reserve_ip", CloudBusy("409")),
    ],
)
async def test_a_passing_refusal_of_any_call_is_outlived(stage: Stage, method: str, error: Exception) -> None:
    stage.outside.cloud.faults.refuse[method] = [error]  # type: ignore[list-item]
    server = await stage.paid()
    await stage.ready(server.id)
    assert counts(stage) == ONE_OF_EACH
    assert sum(stage.outside.cloud.powered.values()) == 1


async def test_a_size_that_is_short_is_passed_over(stage: Stage) -> None:
    stage.outside.cloud.stock["DEV1-S"] = "shortage"
    server = await stage.paid()
    await stage.ready(server.id)
    async with stage.database.transaction() as session:
        row = (await session.scalars(select(CloudResource).where(CloudResource.kind == "instance"))).one()
    assert row.request["commercial_type"] == "PLAY2-PICO"


async def test_a_size_that_runs_out_although_it_was_available_is_replaced_by_the_next(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["create_instance"] = [CloudOutOfStock("gone")]
    server = await stage.paid()
    await stage.ready(server.id)
    async with stage.database.transaction() as session:
        row = (await session.scalars(select(CloudResource).where(CloudResource.kind == "instance"))).one()
    assert row.request["commercial_type"] == "PLAY2-PICO"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CloudQuota("full"), "QuotaExceeded"),
        (CloudDenied("key"), "CloudDenied"),
        (CloudRefused("bad", code="invalid_arguments"), "CloudRefused"),
    ],
)
async def test_what_trying_again_cannot_help_stalls_with_plain_words(
    stage: Stage, error: Exception, reason: str
) -> None:
    stage.outside.cloud.faults.refuse["create_instance"] = [error]  # type: ignore[list-item]
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert stalled.reason == reason
    await stage.due_now(server.id)
    await stage.ready(server.id)
    assert not await stage.is_true(server.id, "Stalled")


async def test_no_stock_of_any_size_stalls_and_goes_on_when_there_is(stage: Stage) -> None:
    stage.outside.cloud.stock.clear()
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stage.outside.cloud.stock["DEV1-M"] = "available"
    await stage.due_now(server.id)
    await stage.ready(server.id)


async def test_mail_that_stays_blocked_at_the_cloud_is_a_hard_stop(stage: Stage) -> None:
    stage.outside.cloud.faults.blocks_mail = True
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert stalled.reason == "SmtpBlocked"
    assert counts(stage)["instance"] == 0


async def test_an_instance_behind_other_addresses_is_not_switched_on(stage: Stage) -> None:
    stage.settings.passes_per_claim = 1
    server = await stage.paid()

    async def created() -> bool:
        return bool(stage.outside.cloud.living("instance"))

    await stage.play(created)
    stage.outside.cloud.living("instance")[0].data["ip_ids"] = ()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    assert sum(stage.outside.cloud.powered.values()) == 0


async def test_a_reverse_name_is_asked_for_until_the_cloud_sees_the_name(stage: Stage) -> None:
    refusal = CloudRefused("Your reverse must resolve", code="invalid_arguments", argument="reverse")
    stage.outside.cloud.faults.refuse["set_reverse"] = [refusal, refusal]
    server = await stage.paid()
    await stage.ready(server.id)
    assert not any(row.outcome == "failed" for row in await stage.log(server.id))


async def test_another_refusal_of_a_reverse_name_needs_a_person(stage: Stage) -> None:
    stage.outside.cloud.faults.refuse["set_reverse"] = [CloudRefused("no", argument="server")]
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    await stage.due_now(server.id)
    await stage.ready(server.id)
