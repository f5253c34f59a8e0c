"""Who gets in over SSH, and what he can ask for."""

from __future__ import annotations

import json

import asyncssh
import pytest

from services.provisioner.hosts.cloud_init import one_time_host_key
from services.provisioner.hosts.driver import SshHost
from services.provisioner.hosts.port import (
    HostAddress,
    HostCommandFailed,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
)
from services.provisioner.hosts.ssh_authority import SshAuthority
from shared.clock import SystemClock
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


async def test_the_injected_key_is_gone_after_first_contact(made_world: World, server: Server) -> None:
    kept = await server.inside("ls /etc/ssh/ssh_host_*")
    assert kept.split() == ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub"]
    assert server.facts is not None
    assert server.facts.ssh_host_key == server.address.pinned_host_key


async def test_another_host_key_stops_everything(made_world: World, server: Server) -> None:
    stranger = HostAddress(server.server_id, server.ipv4, one_time_host_key().public)
    with pytest.raises(HostKeyChanged):
        await made_world.ssh.facts(stranger)


async def test_a_certificate_of_another_authority_is_refused(server: Server) -> None:
    other = SshHost(SshAuthority(SshAuthority.generate(), SystemClock()))
    with pytest.raises(HostRefused):
        await other.facts(server.address)


async def test_a_certificate_for_another_server_is_refused(made_world: World, server: Server) -> None:
    wrong = HostAddress("srv_" + "f" * 32, server.ipv4, server.address.pinned_host_key)
    with pytest.raises(HostRefused):
        await made_world.ssh.facts(wrong)


async def test_a_silent_address_is_unreachable(made_world: World, server: Server) -> None:
    nobody = HostAddress(
        server.server_id, str(made_world.addresses.vps_v4()[40]), server.address.pinned_host_key
    )
    with pytest.raises(HostUnreachable):
        await made_world.ssh.facts(nobody)


async def test_no_shell_whatever_is_asked(made_world: World, server: Server) -> None:
    key, certificate = made_world.authority.issue(server.server_id, "test")
    pinned = asyncssh.import_public_key(server.address.pinned_host_key)
    async with asyncssh.connect(
        server.ipv4,
        username="scadmin",
        client_keys=[(key, certificate)],
        known_hosts=([pinned], [], []),
        config=[],
    ) as connection:
        done = await connection.run("cat /etc/shadow; id", input="")
    answer = json.loads(str(done.stdout))
    assert answer["error"]["code"] == "unknown_command"


async def test_unknown_verbs_and_bad_requests_are_typed_errors(made_world: World, server: Server) -> None:
    with pytest.raises(HostCommandFailed) as caught:
        await made_world.ssh._call(server.address, "mail-log", {"queue_id": "; rm -rf /"})
    assert caught.value.code == "bad_request"
