"""What is there after a reboot."""

from __future__ import annotations

import asyncio

import pytest

from services.provisioner.hosts.port import HostUnreachable
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


async def test_everything_is_there_after_a_reboot(made_world: World, server: Server) -> None:
    made_world.trust_acme()
    before = server.instance.guest_pid()
    await server.inside("systemd-run --quiet --on-active=0.2 systemctl reboot")
    for _ in range(300):
        if server.instance.guest_pid() not in (before, None):
            break
        await asyncio.sleep(0.1)
    for _ in range(300):
        try:
            probe = await made_world.ssh.probe(server.address)
        except HostUnreachable:
            await asyncio.sleep(0.2)
            continue
        if probe.ok:
            break
        await asyncio.sleep(0.2)
    assert probe.ok, probe
    facts = await made_world.ssh.facts(server.address)
    assert server.facts is not None
    assert facts.tls.current_spki_sha256 == server.facts.tls.current_spki_sha256
    assert facts.tls.chain_verifies
