"""A caching proxy for Debian's packages (apt-cacher-ng): the only thing that a server can reach outside, and only
this machine's own Debian mirrors through it."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import pwd
import socket
from pathlib import Path

from sandbox.hosts.images import debian_mirrors
from sandbox.net import Namespace, run

log = logging.getLogger(__name__)

PORT = 3142
PROCESS = "apt-proxy"
SYSTEM_USER = "apt-cacher-ng"
START_LIMIT_S = 15.0


class AptProxyFailed(RuntimeError):
    """apt-cacher-ng did not come up; the message says where its log is."""


class AptProxy:
    """apt-cacher-ng on `<range>.61:3142` of the machine's side of the bridge, caching below `cache`.

    One process may write a cache, so each proxy takes the first of `cache`/0, /1, ... that is not in use.
    """

    def __init__(self, namespace: Namespace, cache: Path, log_dir: Path) -> None:
        self._namespace = namespace
        self._cache = cache.resolve()
        self._log_dir = log_dir
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://{self._namespace.addresses.apt_proxy}:{PORT}"

    async def start(self) -> None:
        """Start and wait until it answers. Raises AptProxyFailed."""
        slot = self._take_slot()
        uid = unprivileged_uid(slot)
        conf, data, logs = slot / "conf", slot / "cache", slot / "log"
        for directory in (conf, data, logs):
            directory.mkdir(parents=True, exist_ok=True)
        (conf / "acng.conf").write_text(
            self._configuration(await debian_mirrors(), await _upstream_proxy(), data, logs)
        )
        if uid is not None:
            await asyncio.to_thread(_give, slot, uid)
        console = self._log_dir / f"{PROCESS}.log"
        self._process = await self._namespace.spawn(
            ["apt-cacher-ng", "-c", str(conf)], log=console, cgroup=PROCESS, uid=uid, inside=False
        )
        await self._wait_listening(console)

    async def stop(self) -> None:
        """Stop and give the cache free."""
        await self._namespace.stop(PROCESS)
        if self._process is not None:
            await self._process.wait()
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_slot(self) -> Path:
        for number in range(16):
            slot = self._cache / str(number)
            slot.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            self._lock = descriptor
            return slot
        raise AptProxyFailed(f"all 16 package caches below {self._cache} are in use")

    def _configuration(self, mirrors: list[str], upstream: str, data: Path, logs: Path) -> str:
        lines = [
            "ForeGround: 1",
            f"Port: {PORT}",
            f"BindAddress: {self._namespace.addresses.apt_proxy}",
            f"CacheDir: {data}",
            f"LogDir: {logs}",
            "SocketPath:",
            "ReportPage:",
            # Refuse whatever is not one of the mirrors below.
            "ForceManaged: 1",
            "PassThroughPattern: ^$",
        ]
        lines += [f"Remap-mirror{number}: {mirror} ; {mirror}" for number, mirror in enumerate(mirrors)]
        if upstream:
            lines.append(f"Proxy: {upstream}")
        return "\n".join(lines) + "\n"

    async def _wait_listening(self, console: Path) -> None:
        address = (str(self._namespace.addresses.apt_proxy), PORT)
        deadline = asyncio.get_running_loop().time() + START_LIMIT_S
        while asyncio.get_running_loop().time() < deadline:
            if self._process is not None and self._process.returncode is not None:
                break
            if await asyncio.to_thread(_accepts, address):
                return
            await asyncio.sleep(0.05)
        raise AptProxyFailed(f"apt-cacher-ng does not answer on {address[0]}:{PORT}, see {console}")


def _accepts(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 0.5).close()
    except OSError:
        return False
    return True


async def _upstream_proxy() -> str:
    """The proxy that this machine's own apt uses, or ""."""
    shown = await run("apt-config", "dump", "--format", "%v", "Acquire::http::Proxy")
    return "" if shown.strip() in ("", "DIRECT") else shown.strip()


def unprivileged_uid(directory: Path) -> int | None:
    """The uid of Debian's apt-cacher-ng user, or None (root) where it could not even reach `directory`."""
    try:
        uid = pwd.getpwnam(SYSTEM_USER).pw_uid
    except KeyError:
        return None
    if all(os.stat(each).st_mode & 0o001 for each in directory.parents):
        return uid
    log.warning("%s is closed to other users: the apt proxy runs as root", directory)
    return None


def _give(directory: Path, uid: int) -> None:
    for root, _, files in os.walk(directory):
        os.chown(root, uid, uid)
        for name in files:
            os.lchown(os.path.join(root, name), uid, uid)
