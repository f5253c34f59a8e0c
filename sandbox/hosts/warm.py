"""What is done once to a fresh image: ownership for the user namespace, and a first boot that fills its caches."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from sandbox.net.cgroups import Cgroup
from sandbox.net.commands import CommandFailed, run

BUILDS = "sc-image"
RSPAMD_PORT = 11332
BOOT_LIMIT_S = 180.0
STOP_LIMIT_S = 40.0
# rspamd goes on compiling after it listens; its cache is complete when no file changed for this long.
QUIET_S = 4.0

# Left by a boot and not part of an image: identity, logs, run-time state.
LEFTOVERS = (
    "etc/ssh/ssh_host_*",
    "var/log/journal/*",
    "var/log/*.log",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/cloud/*",
    "var/lib/dbus/machine-id",
    "var/lib/redis/*",
    "root/.bash_history",
    "tmp/*",
)


def nspawn(root: Path, uid_base: int, *arguments: str) -> list[str]:
    """systemd-nspawn without machined, in a user namespace whose uid 0 is `uid_base`."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--register=no",
        "--keep-unit",
        "--private-network",
        f"--private-users={uid_base}:65536",
        "--private-users-ownership=chown",
        "--resolv-conf=off",
        "--link-journal=no",
        "--timezone=off",
        f"--directory={root}",
        *arguments,
    ]


def _cgroup(root: Path) -> Cgroup:
    return Cgroup(f"{BUILDS}/{root.parent.name.strip('.')}-{os.getpid()}")


def _remove_parent() -> None:
    """Remove the group of all builds when this was the last one."""
    for directory in Cgroup(BUILDS).directories:
        with contextlib.suppress(OSError):
            directory.rmdir()


async def shift_ownership(root: Path, uid_base: int) -> None:
    """Chown every file of the image into the user namespace."""
    group = _cgroup(root)
    group.child("run").create()
    try:
        await run(*group.child("run").joining(nspawn(root, uid_base, "--pipe", "/bin/true")))
    finally:
        await group.remove()
        _remove_parent()


async def boot_once(root: Path, uid_base: int, log: Path) -> None:
    """Boot the image with no network, wait until rspamd has compiled its patterns, power off, remove the traces.

    Raises CommandFailed when it does not come up or does not stop in time.
    """
    marker = root / "etc/cloud/cloud-init.disabled"
    marker.touch()
    group = _cgroup(root)
    group.child("run").create()
    # Nothing is online in here: waiting for it would take two minutes (systemd in a container reads its own argv).
    offline = "systemd.mask=systemd-networkd-wait-online.service"
    argv = nspawn(root, uid_base, "--boot", "--console=read-only", "--machine=sc-image", offline)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *group.child("run").joining(argv),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait_for(_caches_complete(root, group, ended), BOOT_LIMIT_S)
        process.terminate()
        await asyncio.wait_for(asyncio.shield(ended), STOP_LIMIT_S)
    except TimeoutError as error:
        raise CommandFailed(argv, -1, f"the image's first boot or stop took too long, see {log}") from error
    finally:
        if not ended.done():
            group.kill()
            await ended
        await group.remove()
        _remove_parent()
    if process.returncode != 0:
        raise CommandFailed(argv, process.returncode or 0, f"the image's first boot ended badly, see {log}")
    marker.unlink()
    _remove_leftovers(root)
    os.truncate(root / "etc/machine-id", 0)


async def _caches_complete(root: Path, group: Cgroup, ended: asyncio.Task[int]) -> None:
    cache = root / "var/lib/rspamd"
    seen: dict[str, int] = {}
    quiet = 0.0
    while quiet < QUIET_S:
        if ended.done():
            raise CommandFailed(["systemd-nspawn"], ended.result(), "the image's first boot ended by itself")
        await asyncio.sleep(0.5)
        now = _sizes(cache)
        listening = any(listens(pid, RSPAMD_PORT) for pid in _one_guest_process(group))
        quiet = quiet + 0.5 if listening and now == seen else 0.0
        seen = now


def _one_guest_process(group: Cgroup) -> list[int]:
    """A process inside the container (all share its network namespace): systemd-nspawn itself is outside."""
    outside = os.stat("/proc/self/ns/net").st_ino
    for pid in sorted(group.pids()):
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino != outside:
                return [pid]
        except OSError:
            continue
    return []


def listens(pid: int, port: int) -> bool:
    """Whether TCP `port` is listened on in the network namespace of process `pid` (proc(5), net/tcp; state 0A)."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False


def _sizes(directory: Path) -> dict[str, int]:
    return {each.name: each.stat().st_size for each in directory.glob("*.hs*")} if directory.is_dir() else {}


def _remove_leftovers(root: Path) -> None:
    for pattern in LEFTOVERS:
        for each in root.glob(pattern):
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink()
