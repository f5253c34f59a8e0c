"""The operator's command line, on a real database."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from services.provisioner.reconciler.outcomes import WAIT_OR_REFUND
from services.provisioner.regions.observer import Offers
from services.provisioner.sweep_rows import PostgresFindings
from services.provisioner.sweeper import Sweeper
from tests.fixtures import run
from tests.provisioner.stage import Stage


def admin(environment: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "services.provisioner.admin", *arguments],
        cwd=run.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


async def test_servers_and_what_is_stuck_are_listed(stage: Stage, environment: dict[str, str]) -> None:
    stage.outside.cloud.stock.clear()
    server = await stage.paid()
    await stage.play(lambda: stage.is_true(server.id, "Stalled"))
    assert [row["hostname"] for row in admin(environment, "servers")] == [server.hostname]
    stuck = admin(environment, "stuck")
    assert {row["server_id"] for row in stuck} == {server.id}
    assert "OutOfStock" in {row["reason"] for row in stuck}
    assert stuck[0]["last_trouble"]["next_action"] == WAIT_OR_REFUND


async def test_creates_with_an_unknown_outcome_are_listed(stage: Stage, environment: dict[str, str]) -> None:
    stage.outside.cloud.faults.lost["ip"] = 1
    stage.outside.cloud.faults.late = 60
    await stage.paid()
    await stage.engine.work_once()
    (row,) = admin(environment, "unknown")
    assert (row["kind"], row["state"]) == ("ip", "unknown")


async def test_a_recheck_makes_everything_due_now(stage: Stage, environment: dict[str, str]) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    runs = stage.outside.self_test.runs
    assert {"condition": "SmtpVerified"} in admin(environment, "recheck", server.id)

    async def tested_again() -> bool:
        return stage.outside.self_test.runs > runs

    await stage.play(tested_again)


async def test_a_sweep_of_a_silent_cloud_finds_nothing_and_says_so(environment: dict[str, str]) -> None:
    assert admin(environment, "sweep", "--dry-run") == []


async def test_what_nobody_owns_quotas_and_stock_are_what_the_worker_wrote_down_last(
    stage: Stage, environment: dict[str, str]
) -> None:
    cloud = stage.outside.cloud
    await cloud.reserve_ip("fr-par-1", 4, ("sendchief", "sc-env:test"))
    await Sweeper(PostgresFindings(stage.database), cloud, stage.settings, stage.ports.catalogue).run(
        dry_run=True
    )
    await Offers(stage.database, cloud, stage.ports.catalogue).run()
    (found,) = admin(environment, "unowned")
    assert (found["kind"], found["state"], found["seen"]) == ("ip", "seen", 1)
    quotas = {row["resource"]: row for row in admin(environment, "quotas")}
    assert (quotas["addresses"]["quota"], quotas["addresses"]["used"], quotas["addresses"]["left"]) == (
        20,
        1,
        19,
    )
    stock = {
        (row["zone"], row["commercial_type"]): row["availability"] for row in admin(environment, "stock")
    }
    assert stock["nl-ams-2", "DEV1-S"] == "available"


def test_only_our_own_queues_can_be_given_their_messages_back(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.provisioner.admin", "redrive", "dns.on-server"],
        cwd=run.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "provisioner.on-address" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("srv_0",), 1, "not adopted: There is no server srv_0."),
        (("srv_0", "--apply"), 1, "not adopted: There is no server srv_0."),
        (("srv_0", "--host-key", "SHA256:x", "--rebuild", "s1"), 2, "not allowed with argument"),
    ],
)
def test_an_adoption_that_cannot_be_says_why(
    environment: dict[str, str], arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.provisioner.admin", "adopt", *arguments],
        cwd=run.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
