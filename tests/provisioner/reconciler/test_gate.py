"""The gate before a provider: one bucket and one breaker for all workers."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from services.provisioner.hosts.ssh_authority import SshAuthority
from services.provisioner.models import ProviderGate
from services.provisioner.ports import (
    CloudBusy,
    CloudError,
    CloudNotFound,
    CloudPaused,
    CloudPort,
    CloudQuota,
    CloudRateLimited,
    CloudUnavailable,
)
from services.provisioner.reconciler.gate import Gate, Limits, guarded
from services.provisioner.wiring import worker_resources
from shared.contracts.provisioner_events import ServerDegraded
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.provisioner.stage import Stage, engine_of, ports_of, worker_settings

ZONE = "fr-par-1"
PLENTY = Limits(rate=1000, burst=1000)


def gate_of(stage: Stage, limits: Limits = PLENTY, provider: str = "test") -> CloudPort:
    return guarded(stage.outside.cloud, Gate(stage.database, provider, limits, random.Random(1)))


async def later(stage: Stage, seconds: float) -> None:
    """As if `seconds` had passed at every gate."""
    step = timedelta(seconds=seconds)
    async with stage.database.transaction() as session:
        await session.execute(
            update(ProviderGate).values(
                refilled_at=ProviderGate.refilled_at - step,
                paused_until=ProviderGate.paused_until - step,
                open_until=ProviderGate.open_until - step,
            )
        )


async def silence(stage: Stage, cloud: CloudPort, times: int, error: CloudError | None = None) -> None:
    for _ in range(times):
        stage.outside.cloud.faults.refuse["list_ips"] = [error or CloudUnavailable("504")]
        with pytest.raises(CloudError):
            await cloud.list_ips(ZONE, "x")


async def test_a_burst_is_let_through_and_then_only_the_rate(stage: Stage) -> None:
    cloud = gate_of(stage, Limits(rate=0.5, burst=3))
    for _ in range(3):
        await cloud.list_ips(ZONE, "x")
    with pytest.raises(CloudPaused) as held:
        await cloud.list_ips(ZONE, "x")
    assert 0 < held.value.retry_after <= 4
    await later(stage, 2.5)
    await cloud.list_ips(ZONE, "x")
    with pytest.raises(CloudPaused):
        await cloud.list_ips(ZONE, "x")
    assert stage.outside.cloud.calls["list_ips"] == 4


async def test_all_workers_draw_from_the_same_bucket_however_many_ask_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.provisioner.reconciler.gate.ENTER_SECONDS", 60)
    limits = Limits(rate=0.001, burst=7)
    clouds = [gate_of(stage, limits) for _ in range(4)]
    answers = await asyncio.gather(
        *(cloud.list_ips(ZONE, "x") for cloud in clouds for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, CloudPaused) for one in answers) == 13
    assert stage.outside.cloud.calls["list_ips"] == 7


async def test_a_429_pauses_every_worker_and_every_server_as_long_as_was_asked(stage: Stage) -> None:
    one, other = gate_of(stage), gate_of(stage)
    await silence(stage, one, 1, CloudRateLimited("429", retry_after=40))
    for cloud in (one, other):
        with pytest.raises(CloudPaused) as held:
            await cloud.reserve_ip(ZONE, 4, ())
        assert 38 < held.value.retry_after < 43
    assert stage.outside.cloud.calls["reserve_ip"] == 0
    await later(stage, 41)
    await other.reserve_ip(ZONE, 4, ())


async def test_a_shorter_429_does_not_end_a_longer_pause(stage: Stage) -> None:
    cloud = gate_of(stage)
    await silence(stage, cloud, 1, CloudRateLimited("429", retry_after=40))
    async with stage.database.transaction() as session:
        row = await session.get_one(ProviderGate, ("test", ZONE))
        until = row.paused_until
    gate = Gate(stage.database, "test", PLENTY)
    await gate.tell(ZONE, CloudRateLimited("429", retry_after=1))
    async with stage.database.transaction() as session:
        assert (await session.get_one(ProviderGate, ("test", ZONE))).paused_until == until


async def test_another_zone_and_another_provider_are_not_held_back(stage: Stage) -> None:
    await silence(stage, gate_of(stage), 1, CloudRateLimited("429", retry_after=40))
    await gate_of(stage).list_ips("nl-ams-1", "x")
    await gate_of(stage, provider="other").list_ips(ZONE, "x")


@pytest.mark.parametrize("error", [CloudUnavailable("504"), CloudBusy("not sent", code="not_sent")])
async def test_five_silences_in_a_row_open_the_breaker(stage: Stage, error: CloudError) -> None:
    cloud = gate_of(stage)
    await silence(stage, cloud, 4, error)
    await cloud.list_ips(ZONE, "x")
    await silence(stage, cloud, 5, error)
    before = stage.outside.cloud.calls.total()
    for _ in range(3):
        with pytest.raises(CloudPaused):
            await gate_of(stage).list_ips(ZONE, "x")
    assert stage.outside.cloud.calls.total() == before


@pytest.mark.parametrize("error", [CloudNotFound("404"), CloudQuota("full"), CloudBusy("409")])
async def test_a_refusal_is_an_answer_and_closes_nothing(stage: Stage, error: CloudError) -> None:
    cloud = gate_of(stage)
    await silence(stage, cloud, 4)
    await silence(stage, cloud, 1, error)
    await silence(stage, cloud, 4)
    await cloud.list_ips(ZONE, "x")


async def test_an_open_breaker_lets_one_call_try_and_closes_when_it_is_answered(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = gate_of(stage)
    await silence(stage, cloud, 5)
    await later(stage, 31)
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(zone: str, tag: str) -> list[object]:
        asked.set()
        await go_on.wait()
        return []

    monkeypatch.setattr(stage.outside.cloud, "list_ips", slow)
    probe = asyncio.create_task(cloud.list_ips(ZONE, "x"))
    await asyncio.wait_for(asked.wait(), 5)
    with pytest.raises(CloudPaused):
        await cloud.list_volumes(ZONE, "x")
    go_on.set()
    await probe
    await cloud.list_volumes(ZONE, "x")


async def test_a_try_that_is_not_answered_opens_the_breaker_again(stage: Stage) -> None:
    cloud = gate_of(stage)
    await silence(stage, cloud, 5)
    await later(stage, 31)
    await silence(stage, cloud, 1)
    with pytest.raises(CloudPaused):
        await cloud.list_ips(ZONE, "x")
    await later(stage, 31)
    await cloud.list_ips(ZONE, "x")
    await cloud.list_ips(ZONE, "x")


async def test_a_create_that_the_gate_holds_back_was_not_sent_and_is_sent_later(stage: Stage) -> None:
    """Refused by our own gate is refused for certain: no quiet window has to pass."""
    stage.settings.quiet_window_seconds = 3600
    stage.outside.cloud.faults.refuse["availability"] = [CloudRateLimited("429", retry_after=0.4)]
    gate = Gate(stage.database, "test", PLENTY, random.Random(1))
    held = ports_of(stage.settings, stage.outside)
    object.__setattr__(held, "cloud", guarded(stage.outside.cloud, gate))
    stage.engine = engine_of(stage.database, held)
    server = await stage.paid()
    await stage.ready(server.id)
    assert stage.outside.cloud.calls["create_instance"] == 1


async def test_a_silent_cloud_does_not_make_a_running_server_degraded(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    stage.outside.cloud.faults.refuse["get_instance"] = [CloudUnavailable("504"), CloudPaused("open")]
    for failures in (1, 2):
        await stage.due_now(server.id)

        async def failed(failures: int = failures) -> bool:
            found = await stage.condition(server.id, "InstanceHealthy")
            return found is not None and found.failures == failures

        await stage.play(failed)
    assert await stage.is_true(server.id, "Ready")
    assert await stage.others.bus.emitted(ServerDegraded) == []


async def test_a_database_that_keeps_a_call_waiting_at_the_gate_does_not_let_it_out_late(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.provisioner.reconciler.gate.ENTER_SECONDS", 0.2)
    cloud = gate_of(stage)
    await cloud.list_ips(ZONE, "x")
    async with stage.database.transaction() as session:
        await session.get_one(ProviderGate, ("test", ZONE), with_for_update=True)
        with pytest.raises(CloudPaused):
            await cloud.list_ips(ZONE, "x")
    assert stage.outside.cloud.calls["list_ips"] == 1


async def test_the_worker_s_cloud_is_behind_the_gate(
    stage: Stage, service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    key = tmp_path / "ssh_ca"
    key.write_text(SshAuthority.generate().get_secret_value())
    nowhere = "https://127.0.0.1:1"
    settings = worker_settings(
        trust, service_database("provisioner"), ssh_ca_key_file=key, scaleway_url=nowhere, stripe_url=nowhere
    )
    resources = worker_resources(settings, stage.database)
    for _ in range(settings.breaker_failures):
        with pytest.raises(CloudBusy):
            await resources.ports.cloud.list_ips(ZONE, "x")
    with pytest.raises(CloudPaused):
        await resources.ports.cloud.list_ips(ZONE, "x")
    await resources.aclose()
