"""Control groups without systemd: one group per daemon and per server, in each hierarchy that the machine has.

A machine has cgroup v2 only (`/sys/fs/cgroup`), or v1 hierarchies beside a v2 one (`/sys/fs/cgroup/unified`). A
group is made in the v2 hierarchy and in the v1 hierarchies that systemd-nspawn and the limits need (cgroups(7)).
Without a group of its own each booted server would manage the tree of its neighbours.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
V1_WANTED = ("name=systemd", "memory", "pids")


class CgroupBusy(RuntimeError):
    """A group could not be removed: some of its processes do not end."""


def hierarchies(mountinfo: str) -> tuple[Path | None, dict[str, Path]]:
    """The mount point of cgroup v2 (or None) and those of the wanted v1 hierarchies, from mountinfo (proc(5))."""
    v2: Path | None = None
    v1: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        mount_point = Path(left.split()[4])
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2" and v2 is None:
            v2 = mount_point
        elif kind == "cgroup":
            for name in V1_WANTED:
                if name in options.split(" ")[-1].split(","):
                    v1.setdefault(name, mount_point)
    return v2, v1


class Cgroup:
    """The group `path` (for example `sc-1a2b3c4d/net-unbound`), the same path in each hierarchy."""

    def __init__(self, path: str, mountinfo: Path = MOUNTINFO) -> None:
        self.path = path
        self._v2_mount, v1 = hierarchies(mountinfo.read_text())
        self._v1_mounts = v1
        self.v2 = self._v2_mount / path if self._v2_mount else None
        self.v1 = {name: mount / path for name, mount in v1.items()}

    @property
    def directories(self) -> list[Path]:
        return ([self.v2] if self.v2 else []) + list(self.v1.values())

    def child(self, name: str) -> Cgroup:
        return Cgroup(f"{self.path}/{name}")

    def children(self) -> list[Cgroup]:
        """The groups directly below this one, of all hierarchies."""
        names = {
            entry.name
            for each in self.directories
            if each.is_dir()
            for entry in each.iterdir()
            if entry.is_dir()
        }
        return [self.child(name) for name in sorted(names)]

    def exists(self) -> bool:
        return any(each.is_dir() for each in self.directories)

    def create(self) -> None:
        for directory in self.directories:
            directory.mkdir(parents=True, exist_ok=True)

    def join_files(self) -> list[Path]:
        """Write a pid (or 0 for oneself) to each of these to join the group."""
        return [directory / "cgroup.procs" for directory in self.directories]

    def joining(self, argv: Sequence[str]) -> list[str]:
        """`argv` wrapped so that it joins the group before it starts: nothing runs outside, not for a moment."""
        script = 'until [ "$1" = -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'
        return ["/bin/sh", "-c", script, "sh", *map(str, self.join_files()), "--", *argv]

    def pids(self) -> set[int]:
        """The running processes of this group and of all groups below it.

        A dead one that nobody has reaped yet is still listed by cgroup v1 and does not count.
        """
        found: set[int] = set()
        for directory in self.directories:
            for file in _walk(directory):
                try:
                    found.update(int(line) for line in (file / "cgroup.procs").read_text().split())
                except OSError:  # the group went away between listing and reading
                    continue
        return {pid for pid in found if pid and not _is_dead(pid)}

    def limit_memory(self, limit: int) -> bool:
        """Cap the memory of the group at `limit` bytes; False where the machine offers no memory controller."""
        if "memory" in self.v1:
            (self.v1["memory"] / "memory.limit_in_bytes").write_text(str(limit))
            return True
        if self.v2 is None or not self._offer_controller("memory"):
            return False
        (self.v2 / "memory.max").write_text(str(limit))
        return True

    def _offer_controller(self, name: str) -> bool:
        """Hand a v2 controller down from the root to this group (cgroup v2, "Enabling and Disabling")."""
        if self.v2 is None or self._v2_mount is None:
            return False
        for parent in reversed(self.v2.parents):
            if not parent.is_relative_to(self._v2_mount):
                continue
            try:
                (parent / "cgroup.subtree_control").write_text(f"+{name}")
            except OSError:
                return False
        return (self.v2 / f"{name}.max").exists()

    def kill(self) -> None:
        """SIGKILL to every process at once (cgroup.kill, Linux 5.14), so that nothing can fork away."""
        if self.v2 is not None:
            try:
                (self.v2 / "cgroup.kill").write_text("1")
                return
            except FileNotFoundError:
                if not self.exists():
                    return
        for pid in self.pids() - {os.getpid()}:
            _signal(pid, signal.SIGKILL)

    def terminate(self, command: str | None = None) -> None:
        """SIGTERM to the processes of the group, or only to those whose command name (`comm`) is `command`."""
        for pid in self.pids() - {os.getpid()}:
            if command is None or command_name(pid) == command:
                _signal(pid, signal.SIGTERM)

    async def wait_empty(self, seconds: float) -> bool:
        """True as soon as no process is left, False after `seconds`."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.pids():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def stop(self, seconds: float, command: str | None = None) -> bool:
        """Ask by SIGTERM, kill what is left after `seconds`, remove the group. True when all ended by asking."""
        self.terminate(command)
        clean = await self.wait_empty(seconds)
        if not clean:
            self.kill()
        await self.remove()
        return clean

    async def remove(self, seconds: float = 15.0) -> None:
        """Remove the group and those below it. Raises CgroupBusy when processes stay for `seconds`.

        An orphan keeps a cgroup v1 group busy until process 1 has reaped it, which can take a few seconds.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self.exists():
            for directory in self.directories:
                for each in sorted(_walk(directory), key=lambda path: len(path.parts), reverse=True):
                    try:
                        each.rmdir()
                    except OSError:  # EBUSY until the last task is reaped
                        continue
            if not self.exists():
                return
            if asyncio.get_running_loop().time() > deadline:
                raise CgroupBusy(f"control group {self.path} still holds processes {sorted(self.pids())}")
            await asyncio.sleep(0.03)


def command_name(pid: int) -> str:
    """The `comm` of a process (proc(5): 15 characters at most), or "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _is_dead(pid: int) -> bool:
    """Gone, or a zombie: the state is the first field after the command's closing bracket (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _walk(directory: Path) -> Iterator[Path]:
    for root, _, _ in os.walk(directory):
        yield Path(root)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
