"""Real Debian systems: each test boots one of its own."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from sandbox.hosts.fleet import Hosts
from sandbox.hosts.instance import Instance
from sandbox.hosts.probe import wait_for_ssh
from sandbox.net import Cgroup

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

BOOT_LIMIT_S = 60


@pytest.fixture(scope="module")
def login_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


@pytest.fixture(scope="module")
def host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def user_data(host_key: asyncssh.SSHKey) -> bytes:
    private = host_key.export_private_key().decode()
    config = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": private, "ed25519_public": host_key.export_public_key().decode()},
        "write_files": [{"path": "/etc/from-user-data", "content": "seen\n"}],
    }
    return b"#cloud-config\n" + json.dumps(config).encode()


@pytest_asyncio.fixture(loop_scope="module")
async def server(
    hosts: Hosts, login_key: asyncssh.SSHKey, host_key: asyncssh.SSHKey, request: pytest.FixtureRequest
) -> AsyncIterator[Instance]:
    name = request.node.name.removeprefix("test_")[:30].strip("_").replace("_", "-")
    number = len(hosts.all())
    instance = await hosts.create(
        f"id-{name}",
        image="stock",
        hostname=name,
        v4=[hosts.namespace.addresses.vps_v4()[number]],
        v6=[hosts.namespace.addresses.vps_v6_prefix(number + 1)[1]],
        public_keys=[login_key.export_public_key().decode().strip()],
    )
    await instance.set_user_data(user_data(host_key))
    yield instance
    await hosts.delete(instance.record.id)


async def boot(instance: Instance) -> float:
    await instance.start()
    return await wait_for_ssh(str(instance.record.v4[0]), BOOT_LIMIT_S)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.1)


async def booted(instance: Instance) -> None:
    await boot(instance)
    await instance.run_inside(["cloud-init", "status", "--wait"])


async def test_a_server_comes_up_with_its_pinned_key_addresses_and_user_data(
    server: Instance, login_key: asyncssh.SSHKey, host_key: asyncssh.SSHKey
) -> None:
    seconds = await boot(server)
    for address in (str(server.record.v4[0]), str(server.record.v6[0])):
        known = asyncssh.import_known_hosts(f"{address} {host_key.export_public_key().decode()}")
        async with asyncssh.connect(
            address, username="root", client_keys=[login_key], known_hosts=known
        ) as shell:
            result = await shell.run(
                "hostname; cat /etc/from-user-data; cloud-init status --wait", check=True
            )
            assert str(result.stdout).split()[:2] == [server.record.hostname, "seen"]
    assert seconds < 30

    async def settled() -> bool:
        return (
            await server.run_inside(["sh", "-c", "systemctl is-system-running || :"])
        ).strip() == "running"

    await until(settled)


async def test_the_stock_image_listens_on_ssh_only(server: Instance) -> None:
    await booted(server)
    shown = await server.run_inside(["ss", "-Hlntu"])
    assert {line.split()[4].rpartition(":")[2] for line in shown.splitlines()} == {"22"}


async def test_a_reboot_asked_inside_keeps_the_disk(server: Instance) -> None:
    await booted(server)
    await server.run_inside(["sh", "-c", "echo kept > /srv/file"])
    first = server.guest_pid()
    await server.run_inside(["systemctl", "reboot"])

    async def another_life() -> bool:
        return server.guest_pid() not in (None, first)

    await until(another_life)
    await wait_for_ssh(str(server.record.v4[0]), BOOT_LIMIT_S)
    assert await server.run_inside(["cat", "/srv/file"]) == "kept\n"


async def test_stop_is_clean_and_start_brings_the_same_system_back(server: Instance) -> None:
    await booted(server)
    identity = await server.run_inside(["cat", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"])
    assert await server.stop(30)
    assert server.state == "off"
    assert not server.group.exists()
    await booted(server)
    assert (
        await server.run_inside(["cat", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"]) == identity
    )


async def test_the_rescue_system_is_another_one_with_the_disk_at_hand(server: Instance) -> None:
    await booted(server)
    await server.run_inside(["sh", "-c", "echo kept > /srv/file"])
    key = await server.run_inside(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])
    assert await server.stop(30)
    server.record.rescue = True
    await booted(server)
    assert (await server.run_inside(["hostname"])).startswith("rescue-")
    assert await server.run_inside(["cat", "/mnt/srv/file"]) == "kept\n"
    assert await server.run_inside(["sh", "-c", "ls /srv"]) == ""
    assert await server.run_inside(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]) != key
    await server.run_inside(["sh", "-c", "echo mended > /mnt/srv/file"])
    assert await server.stop(30)
    server.record.rescue = False
    await booted(server)
    assert await server.run_inside(["cat", "/srv/file"]) == "mended\n"
    assert await server.run_inside(["cat", "/etc/ssh/ssh_host_ed25519_key.pub"]) == key


async def test_cutting_the_power_and_deleting_leaves_nothing(hosts: Hosts, server: Instance) -> None:
    await boot(server)
    group, directory = Cgroup(server.group.path), server.directory
    await hosts.delete(server.record.id)
    assert not group.exists()
    assert not directory.exists()
    assert hosts.get(server.record.id) is None


async def test_a_power_off_from_inside_is_reported(hosts: Hosts, server: Instance) -> None:
    reported: list[str] = []
    hosts.on_power_off = reported.append
    await boot(server)
    await server.run_inside(["systemctl", "poweroff"])

    async def off() -> bool:
        return server.state == "off"

    await until(off)
    assert reported == [server.record.id]
    assert not server.record.powered


async def test_overwritten_user_data_is_gone_from_the_running_server(server: Instance) -> None:
    await booted(server)
    seed = ["cat", "/var/lib/cloud/seed/nocloud/user-data"]
    assert "ed25519_private" in await server.run_inside(seed)
    await server.set_user_data(b"#cloud-config\n{}\n")
    assert await server.run_inside(seed) == "#cloud-config\n{}\n"


async def test_each_boot_trusts_the_authorities_of_now_and_no_longer_those_of_before(
    hosts: Hosts, server: Instance, tmp_path: Path
) -> None:
    first, second = await authority(tmp_path, "first"), await authority(tmp_path, "second")
    hosts.surroundings.certificates = [first]
    await booted(server)
    assert await trusts(server, first)
    # What an installed package's trigger may do at any time changes nothing.
    await server.run_inside(["update-ca-certificates"])
    assert await trusts(server, first)
    hosts.surroundings.certificates = [second]
    await server.stop()
    await booted(server)
    assert await trusts(server, second)
    assert not await trusts(server, first)
    hosts.surroundings.certificates = []


async def authority(directory: Path, name: str) -> str:
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    argv += [
        "-subj",
        f"/CN=Authority {name}",
        "-keyout",
        str(directory / f"{name}.key"),
        "-out",
        str(directory / name),
    ]
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return (directory / name).read_text()


async def trusts(server: Instance, certificate: str) -> bool:
    """By the bundle and by the hashed directory, as different programs do."""
    script = (
        "cat > /tmp/c; openssl verify -no-CApath -CAfile /etc/ssl/certs/ca-certificates.crt /tmp/c >/dev/null 2>&1;"
        " a=$?; openssl verify -no-CAfile -CApath /etc/ssl/certs /tmp/c >/dev/null 2>&1; echo $a $?"
    )
    bundle, directory = (await server.run_inside(["sh", "-c", script], stdin=certificate.encode())).split()
    assert (bundle == "0") == (directory == "0")
    return bundle == "0"


async def test_each_server_has_a_control_group_and_user_ids_of_its_own(
    hosts: Hosts, server: Instance
) -> None:
    await boot(server)
    pid = server.guest_pid()
    assert pid is not None
    assert os.stat(f"/proc/{pid}").st_uid == 1879048192
    assert pid in Cgroup(f"{hosts.namespace.name}/vps-{server.machine}").pids()


async def test_servers_that_a_killed_sandbox_left_running_are_ended_and_booted_again(
    hosts: Hosts, server: Instance
) -> None:
    await booted(server)
    left_over = server.guest_pid()
    forgetful = Hosts(
        hosts.directory, hosts.namespace, hosts.images, hosts.surroundings, log_dir=hosts.log_dir
    )
    await forgetful.resume()
    again = forgetful.get(server.record.id)
    assert again is not None
    await wait_for_ssh(str(server.record.v4[0]), BOOT_LIMIT_S)

    async def up() -> bool:
        return again.guest_pid() is not None

    await until(up)
    assert again.guest_pid() != left_over
    await again.stop(remember_powered=True)


async def test_mail_ports_open_for_a_server_only_when_allowed(
    hosts: Hosts, server: Instance, tmp_path: Path
) -> None:
    code = "import socket, time; s = socket.create_server(('', 25)); print('up', flush=True); time.sleep(600)"
    log = tmp_path / "listener.log"
    await hosts.namespace.spawn(["python3", "-c", code], log=log, cgroup="listener")
    await boot(server)
    target = hosts.namespace.addresses.outside_mail
    connect = ["sh", "-c", f"timeout 1 bash -c '</dev/tcp/{target}/25' && echo open || echo closed"]
    assert (await server.run_inside(connect)).split()[-1] == "closed"
    await hosts.allow_mail(server.record.id, True)
    assert (await server.run_inside(connect)).split()[-1] == "open"
    await hosts.allow_mail(server.record.id, False)
    assert (await server.run_inside(connect)).split()[-1] == "closed"
    await hosts.namespace.stop("listener")
