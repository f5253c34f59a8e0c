"""An installation that is repeated, and a wish that is out of date."""

from __future__ import annotations

import asyncio

import pytest

from services.provisioner.hosts.bundle.archive import packages
from services.provisioner.hosts.port import HostCommandFailed
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


async def test_installing_again_changes_nothing(made_world: World, server: Server) -> None:
    before = await made_world.ssh.facts(server.address)
    status = await made_world.ssh.upload_and_start_install(server.address, "again", server.desired)
    while status.state == "running":
        await asyncio.sleep(0.1)
        status = await made_world.ssh.install_status(server.address, "again")
    after = await made_world.ssh.facts(server.address)
    assert status.state == "ok", status
    assert next(step for step in status.steps if step.name == "services").message == "nothing changed"
    assert after.tls == before.tls
    assert after.dkim == before.dkim


async def test_the_same_run_id_runs_once(made_world: World, server: Server) -> None:
    status = await made_world.ssh.upload_and_start_install(server.address, "run1", server.desired)
    assert status.state == "ok"
    assert len(status.steps) == len({step.name for step in status.steps})


async def test_an_unheard_of_run_is_unknown(made_world: World, server: Server) -> None:
    assert (await made_world.ssh.install_status(server.address, "never")).state == "unknown"


async def test_facts_name_every_package(server: Server) -> None:
    assert server.facts is not None
    assert set(server.facts.packages) == set(packages())


async def test_an_older_generation_is_refused(made_world: World, server: Server) -> None:
    old = server.desired.model_copy(update={"generation": 1})
    with pytest.raises(HostCommandFailed) as caught:
        await made_world.ssh.apply(server.address, old)
    assert caught.value.code == "stale_generation"
