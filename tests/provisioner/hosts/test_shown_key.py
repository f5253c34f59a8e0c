"""The key that a machine shows is read from a real SSH server, and nothing is told to it."""

from __future__ import annotations

import asyncio

import asyncssh
import pytest

from services.provisioner.hosts.cloud_init import one_time_host_key
from services.provisioner.hosts.driver import SshHost
from services.provisioner.hosts.port import HostUnreachable
from services.provisioner.hosts.ssh_authority import SshAuthority
from shared.clock import SystemClock


class Listening(asyncssh.SSHServer):
    """Notes who tries to sign in."""

    names: list[str]

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def begin_auth(self, username: str) -> bool:
        self.names.append(username)
        return True


async def test_the_key_of_whoever_answers_is_read_and_nobody_signs_in() -> None:
    key, names = one_time_host_key(), list[str]()
    served = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[asyncssh.import_private_key(key.private.get_secret_value())],
        server_factory=lambda: Listening(names),
    )  # fmt: skip
    async with served:
        host = SshHost(SshAuthority(SshAuthority.generate(), SystemClock()))
        assert await host.shown_key("127.0.0.1", served.get_port()) == key.public
    assert names == []


async def test_where_nobody_answers_no_key_is_shown() -> None:
    silent = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    host = SshHost(SshAuthority(SshAuthority.generate(), SystemClock()))
    async with silent:
        with pytest.raises(HostUnreachable):
            await host.shown_key("127.0.0.1", port)
    with pytest.raises(HostUnreachable):
        await host.shown_key("127.0.0.1", port)
