"""The steps that talk to the host, and what the self-test may stop."""

from __future__ import annotations

import pytest

from services.provisioner.hosts.desired import Listener
from services.provisioner.hosts.port import (
    HostCommandFailed,
    HostError,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
    InstallStatus,
)
from services.provisioner.steps import ssh_trust
from shared.contracts.provisioner_events import ServerDegraded, ServerRecovered, ServerStalled
from tests.provisioner.stage import Stage


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("first_contact", HostUnreachable("gone")),
        ("adopt_host_key", HostUnreachable("gone")),
        ("install_status", HostRefused("no")),
        ("upload_and_start_install", HostUnreachable("gone")),
        ("upload_and_start_install", HostCommandFailed("x", "busy", "later")),
        ("facts", HostCommandFailed("x", "busy", "later")),
        ("set_webmail_key", HostRefused("no")),
    ],
)
async def test_a_passing_failure_of_the_host_is_outlived(stage: Stage, method: str, error: HostError) -> None:
    stage.outside.host.fail[method] = [error]
    server = await stage.paid()
    await stage.ready(server.id)
    assert stage.outside.host.installs_started[server.id] == 1


async def test_an_image_s_own_key_before_the_first_boot_is_done_is_waited_out(stage: Stage) -> None:
    stage.outside.host.fail["first_contact"] = [HostKeyChanged("the image's")]
    server = await stage.paid()
    await stage.ready(server.id)


async def test_a_host_with_another_key_stops_everything(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_trust, "GRACE_SECONDS", 0.1)
    stage.outside.host.fail["first_contact"] = [HostKeyChanged("other")] * 5
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    stalled = await stage.condition(server.id, "Stalled")
    assert stalled is not None
    assert stalled.reason == "HostKeyChanged"
    assert not stage.outside.host.installs_started


async def test_a_failed_installation_is_begun_again_under_another_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = stage.outside.host.install_status
    failed: list[str] = []

    async def once(host: object, run_id: str) -> InstallStatus:
        found = await status(host, run_id)  # type: ignore[arg-type]
        if found.state == "ok" and not failed:
            failed.append(run_id)
            return InstallStatus(run_id=run_id, state="failed", error="apt", log_tail="E: no space")
        return found

    monkeypatch.setattr(stage.outside.host, "install_status", once)
    server = await stage.paid()
    await stage.ready(server.id)
    assert (await stage.server(server.id)).install_run_id not in (None, *failed)
    told = [row for row in await stage.log(server.id) if row.step == "install" and row.outcome == "retrying"]
    assert "no space" in told[0].evidence["log_tail"]


@pytest.mark.parametrize("layer", ["encryption", "authentication", "dns", "hardening", "compliance"])
async def test_a_failing_row_of_any_layer_blocks_ready(stage: Stage, layer: str) -> None:
    stage.outside.self_test.broken = {f"{layer}.one"}
    server = await stage.paid()

    async def tried() -> bool:
        return stage.outside.self_test.runs > 2

    await stage.play(tried)
    assert not (await stage.server(server.id)).ever_ready
    stage.outside.self_test.broken = set()
    await stage.ready(server.id)


@pytest.mark.parametrize("layer", ["encryption", "authentication", "dns", "hardening", "compliance"])
async def test_a_layer_without_evidence_blocks_ready(stage: Stage, layer: str) -> None:
    stage.outside.self_test.dropped = {layer}
    server = await stage.paid()

    async def tried() -> bool:
        return stage.outside.self_test.runs > 2

    await stage.play(tried)
    assert not (await stage.server(server.id)).ever_ready


async def test_without_a_proof_of_outgoing_port_25_no_server_is_ready(stage: Stage) -> None:
    """Five layers with evidence are not enough: that very row has to be there."""
    stage.outside.self_test.unproven = True
    server = await stage.paid()

    async def tried() -> bool:
        return stage.outside.self_test.runs > 2

    await stage.play(tried)
    assert not (await stage.server(server.id)).ever_ready
    tested = await stage.condition(server.id, "SmtpVerified")
    assert tested is not None
    assert "port 25" in tested.message
    stage.outside.self_test.unproven = False
    await stage.ready(server.id)


async def test_what_the_host_said_before_it_was_up_is_not_what_it_is_judged_by(stage: Stage) -> None:
    """As after a reboot: the wish was applied a moment before the mail server listened."""
    stage.outside.self_test.listening = {25}
    server = await stage.paid()

    async def tried() -> bool:
        return stage.outside.self_test.runs > 1

    await stage.play(tried)
    assert not (await stage.server(server.id)).ever_ready
    stage.outside.host.listeners = (Listener(address="0.0.0.0", port=25),)
    await stage.ready(server.id)


async def test_what_breaks_later_takes_ready_away_and_gives_it_back(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    stage.outside.self_test.broken = {"encryption.one"}
    await stage.due_now(server.id)

    async def degraded() -> bool:
        return not await stage.is_true(server.id, "Ready")

    await stage.play(degraded)
    stage.outside.self_test.broken = set()
    await stage.due_now(server.id)
    await stage.play(lambda: stage.is_true(server.id, "Ready"))
    told = [event for event in await stage.others.bus.emitted(ServerDegraded) if event.server_id == server.id]
    assert [event.step for event in told] == ["self_test"]
    again = [
        event for event in await stage.others.bus.emitted(ServerRecovered) if event.server_id == server.id
    ]
    assert [event.hostname for event in again] == [server.hostname]


async def test_a_certificate_that_is_not_issued_yet_is_waited_for(stage: Stage) -> None:
    stage.outside.host.certificate_state = "failed"
    server = await stage.paid()

    async def tried() -> bool:
        return stage.outside.host.calls["certificates"] > 2

    await stage.play(tried)
    stage.outside.host.certificate_state = "waiting_dns"
    await stage.due_now(server.id)
    stage.outside.host.certificate_state = "valid"
    await stage.ready(server.id)


async def test_names_that_are_not_visible_hold_ready_back(stage: Stage) -> None:
    stage.others.verify_reverse = False
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "TlsReady"))
    assert not await stage.is_true(server.id, "RdnsSet")
    stage.others.verify_reverse = True
    stage.others.unread.seen = 0
    await stage.ready(server.id)


async def test_a_defect_in_a_step_is_retried_and_stalls_in_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(stage.outside.cloud, "get_rules", broken)
    server = await stage.paid()

    async def failing() -> bool:
        found = await stage.condition(server.id, "SecurityGroupReady")
        return found is not None and found.failures > 2

    await stage.play(failing)
    found = await stage.condition(server.id, "SecurityGroupReady")
    assert found is not None
    assert found.reason == "defect"


async def test_a_step_past_its_deadline_stalls_the_server_and_resumes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.provisioner.steps.power_on import PowerOn

    monkeypatch.setattr(PowerOn, "deadline", 0.05)
    stage.outside.cloud.faults.boot_seconds = 1.0
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    assert [row.step for row in await stage.log(server.id) if row.outcome == "stalled"] == ["power_on"]
    await stage.play(lambda: _never_mind(stage, server.id))
    await stage.ready(server.id)
    assert not await stage.is_true(server.id, "Stalled")
    told = [event for event in await stage.others.bus.emitted(ServerStalled) if event.server_id == server.id]
    assert [event.step for event in told] == ["power_on"]


async def _never_mind(stage: Stage, server_id: str) -> bool:
    await stage.due_now(server_id)
    return await stage.is_true(server_id, "Running")
