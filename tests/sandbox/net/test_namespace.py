import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.net import AddressRange, Cgroup, Namespace, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

SERVER = "vb-probe"


@pytest.fixture
async def namespace(tmp_path: Path) -> AsyncIterator[Namespace]:
    addresses = await AddressRange.claim(owner=tmp_path)
    made = Namespace(f"t{os.getpid() % 1000000}", addresses, tmp_path / "run")
    try:
        await made.up()
        yield made
    finally:
        await made.down()
        addresses.release()


async def attach_probe(namespace: Namespace) -> str:
    """A second namespace on a bridge port named like a server's, with a server's address; returns its name."""
    name = f"{namespace.name}-p"
    server = namespace.addresses.vps_v4()[0]
    await run("ip", "netns", "add", name)
    inside = ["ip", "-n", namespace.name]
    await run(*inside, "link", "add", SERVER, "type", "veth", "peer", "name", "host0", "netns", name)
    await run(*inside, "link", "set", SERVER, "master", "br0", "up")
    await run("ip", "-n", name, "address", "add", f"{server}/26", "dev", "host0")
    await run("ip", "-n", name, "link", "set", "host0", "up")
    return name


async def connects(probe: str, address: str, port: int) -> bool:
    code = f"import socket; socket.create_connection(({address!r}, {port}), 1.0)"
    process = await asyncio.create_subprocess_exec(
        "nsenter", f"--net=/run/netns/{probe}", "python3", "-c", code, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait() == 0


def uid_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


async def listen(namespace: Namespace, tmp_path: Path, port: int) -> None:
    code = f"import socket, time; s = socket.create_server(('', {port})); print('up', flush=True); time.sleep(600)"
    log = tmp_path / f"{port}.log"
    await namespace.spawn(["python3", "-c", code], log=log, cgroup=f"listen{port}", uid=65534)
    for _ in range(500):
        if "up" in log.read_text():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port}: {log.read_text()}")


async def test_up_gives_the_bridge_every_infrastructure_address_and_is_idempotent(
    namespace: Namespace,
) -> None:
    await namespace.up()
    shown = json.loads(await run("ip", "-n", namespace.name, "-j", "address", "show", "dev", "br0"))
    present = {each["local"] for each in shown[0]["addr_info"]}
    expected = {str(namespace.addresses.v4_of(n)) for n in range(1, 16)}
    expected |= {str(namespace.addresses.v6_of(n)) for n in range(1, 16)}
    assert expected <= present


async def test_the_machine_reaches_an_unprivileged_daemon_on_a_low_port(
    namespace: Namespace, tmp_path: Path
) -> None:
    await listen(namespace, tmp_path, 53)
    socket.create_connection((str(namespace.addresses.resolver), 53), 2).close()
    pid = int((namespace.run_dir / "listen53.pid").read_text())
    assert pid in Cgroup(f"{namespace.name}/net-listen53").pids()
    assert uid_of(pid) == 65534


async def test_servers_reach_mail_ports_only_once_allowed(namespace: Namespace, tmp_path: Path) -> None:
    target = str(namespace.addresses.outside_mail)
    for port in (25, 80):
        await listen(namespace, tmp_path, port)
    probe = await attach_probe(namespace)
    try:
        assert await connects(probe, target, 80)
        assert not await connects(probe, target, 25)
        await namespace.allow_mail(SERVER, True)
        await namespace.allow_mail(SERVER, True)
        assert await connects(probe, target, 25)
        await namespace.up()
        assert await namespace.mail_allowed(SERVER)
        await namespace.allow_mail(SERVER, False)
        assert not await connects(probe, target, 25)
    finally:
        await run("ip", "netns", "delete", probe)


async def test_nothing_inside_can_leave_the_machine(namespace: Namespace) -> None:
    routes = await run("ip", "-n", namespace.name, "route", "show", "default")
    assert routes.strip() == ""
    assert (await run(*namespace.entering(["sysctl", "-n", "net.ipv4.ip_forward"]))).strip() == "0"


async def test_down_is_complete_although_nobody_remembers_the_daemons(
    namespace: Namespace, tmp_path: Path
) -> None:
    await listen(namespace, tmp_path, 80)
    forgetful = Namespace(namespace.identifier, namespace.addresses, namespace.run_dir)
    await forgetful.down()
    assert not namespace.path.exists()
    assert namespace.host_device not in os.listdir("/sys/class/net")
    assert not Cgroup(namespace.name).exists()
    await forgetful.down()
