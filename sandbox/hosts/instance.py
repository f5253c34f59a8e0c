"""One server: a real Debian system booted by systemd-nspawn, with a disk, addresses and a power button.

Each boot is one systemd-nspawn process in a mount namespace of its own (the overlay dies with it), in a control group
of its own in each hierarchy, with a user namespace and a port on the sandbox's bridge. Exit status 133 means that the
system asked for a reboot (systemd-nspawn(1), --keep-unit), 0 that it powered off.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from sandbox.hosts.boot import boot_command
from sandbox.hosts.disk import Disk
from sandbox.hosts.record import InstanceRecord, network_file
from sandbox.hosts.seed import write_seed
from sandbox.hosts.surroundings import Surroundings
from sandbox.net import Namespace
from sandbox.net.addresses import RESOLVER
from sandbox.net.namespace import NSPAWN_COMMAND, SERVER_GROUP

log = logging.getLogger(__name__)

NETWORK_FILE = "/etc/systemd/network/05-cloud.network"
REBOOT_STATUS = 133
STOP_LIMIT_S = 60.0
ASK_AGAIN_S = 1.5
# What systemd as process 1 takes as "halt" (systemd(1), "Signals"), and what systemd-nspawn sends it.
HALT_SIGNAL = signal.SIGRTMIN + 3
PowerState = Literal["off", "running", "stopping"]


class Instance:
    """A server with its state in `directory`. `on_power_off` is told when it goes off by itself.

    `guests` gives the process ids of all servers on the same bridge.
    """

    def __init__(
        self,
        record: InstanceRecord,
        directory: Path,
        namespace: Namespace,
        surroundings: Surroundings,
        log_dir: Path,
        on_power_off: Callable[[str], None] = lambda _: None,
        guests: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self.record = record
        self.directory = directory
        self.namespace = namespace
        self.surroundings = surroundings
        self.disk = Disk(record.image, directory)
        self.rescue_disk = Disk(record.image, directory / "rescue")
        digest = hashlib.sha256(f"{namespace.identifier}/{record.id}".encode()).hexdigest()
        self.machine = f"v{digest[:10]}"
        self.interface = f"vb-{self.machine}"
        self.console = log_dir / f"vps-{record.hostname}-{self.machine}.log"
        self.group = namespace.cgroup(SERVER_GROUP + self.machine)
        self._on_power_off = on_power_off
        self._guests = guests
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def state(self) -> PowerState:
        if self._supervisor is None or self._supervisor.done():
            return "off"
        return "stopping" if self._stopping else "running"

    # -- what is remembered ------------------------------------------------------------------------------------------

    def save(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        partial = self.directory / "instance.json.new"
        partial.write_text(self.record.model_dump_json(indent=1))
        partial.rename(self.directory / "instance.json")

    @property
    def _user_data_file(self) -> Path:
        return self.directory / "user-data"

    @property
    def user_data(self) -> bytes:
        return self._user_data_file.read_bytes() if self._user_data_file.exists() else b""

    async def set_user_data(self, content: bytes) -> None:
        """What the metadata service answers from now on; a running server's copy is replaced at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._user_data_file.touch(mode=0o600)
        self._user_data_file.write_bytes(content)
        if self.guest_pid() is not None and not self.record.rescue:
            await self.run_inside(["sh", "-c", "cat > /var/lib/cloud/seed/nocloud/user-data"], stdin=content)

    async def set_addresses(self, v4: Sequence[IPv4Address], v6: Sequence[IPv6Address]) -> None:
        """What the cloud configures; a running server is told at once, as by a renewed lease."""
        if (list(v4), list(v6)) == (self.record.v4, self.record.v6):
            return
        self.record.v4, self.record.v6 = list(v4), list(v6)
        self.save()
        await self._forget_neighbours()
        if self.guest_pid() is not None:
            script = f"cat > {NETWORK_FILE} && networkctl reload && networkctl reconfigure host0"
            await self.run_inside(
                ["sh", "-c", script], stdin=network_file(self.record, self.namespace.addresses).encode()
            )

    # -- power ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Power on. Does nothing when it is on. Returns at once: booted is a matter of asking port 22."""
        if self.state != "off":
            return
        await self.end_leftovers()
        self.record.powered = True
        self.save()
        self._stopping = False
        self._supervisor = asyncio.create_task(self._supervise(), name=f"server {self.record.hostname}")

    async def stop(self, seconds: float = STOP_LIMIT_S, *, remember_powered: bool = False) -> bool:
        """Ask for a clean shutdown and wait; after `seconds` cut the power. True when it was clean.

        `remember_powered` is for a sandbox that goes down: the server comes back when it comes up.
        """
        self._stopping = True
        clean = True
        if self._supervisor is not None and not self._supervisor.done():
            if self._process is not None and self._process.returncode is None:
                self._process.terminate()  # systemd-nspawn passes it on as SIGRTMIN+3: shut down
            clean = await self._wait_off(self._supervisor, seconds)
            if not clean:
                log.warning("server %s did not shut down in %.0f s: power cut", self.record.hostname, seconds)
                self.group.kill()
                await self._supervisor
        if not remember_powered:
            self.record.powered = False
            self.save()
        return clean

    async def _wait_off(self, supervisor: asyncio.Task[None], seconds: float) -> bool:
        """Wait for the end, repeating the request: a system in its first moments does not hear it."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not supervisor.done() and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait({supervisor}, timeout=ASK_AGAIN_S)
            pid = self.guest_pid()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, HALT_SIGNAL)
        return supervisor.done()

    async def cut_power(self) -> None:
        """Off without a shutdown. Through the group: a killed systemd-nspawn would leave its container running."""
        self._stopping = True
        self.group.kill()
        if self._supervisor is not None:
            await self._supervisor
        self.record.powered = False
        self.save()

    async def delete(self) -> None:
        """Cut the power and remove disk and state."""
        await self.cut_power()
        await self.end_leftovers()
        # With what systemd-nspawn leaves beside the root directory.
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    async def end_leftovers(self) -> None:
        """End what a crashed sandbox left of this server."""
        if self.group.exists():
            await self.group.stop(STOP_LIMIT_S, command=NSPAWN_COMMAND)

    # -- inside --------------------------------------------------------------------------------------------------------

    def guest_pid(self) -> int | None:
        """The machine's process id of the server's own process 1, or None when it is off."""
        for pid in self.group.pids():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue
            line = next(line for line in status.splitlines() if line.startswith("NSpid:"))
            if line.split()[2:] == ["1"]:
                return pid
        return None

    async def run_inside(self, argv: Sequence[str], stdin: bytes = b"") -> str:
        """Run a command as the server's root, in all its namespaces. For the books and a person looking in.

        Raises RuntimeError when the server is off or the command fails.
        """
        pid = self.guest_pid()
        if pid is None:
            raise RuntimeError(f"server {self.record.hostname} is off")
        process = await asyncio.create_subprocess_exec(
            *("nsenter", f"--target={pid}", "--all", "--", *argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                "HOME": "/root",
                "LC_ALL": "C.UTF-8",
            },
        )
        output, _ = await process.communicate(stdin)
        if process.returncode != 0:
            raise RuntimeError(
                f"{argv[0]} on {self.record.hostname} ended with {process.returncode}: {output[-500:]!r}"
            )
        return output.decode(errors="replace")

    # -- boots ---------------------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Boot, and boot again as long as the server asks for a reboot."""
        status = REBOOT_STATUS
        try:
            while status == REBOOT_STATUS and not self._stopping:
                await asyncio.to_thread(self._prepare_disk)
                if self.record.mail_allowed:
                    await self.namespace.allow_mail(self.interface, True)
                await self._forget_neighbours()
                status = await self._boot()
        except Exception:
            log.exception("server %s could not be booted, see %s", self.record.hostname, self.console)
        finally:
            await self.group.remove()
            self._pid_file.unlink(missing_ok=True)
        if not self._stopping:
            self.record.powered = False
            self.save()
            self._on_power_off(self.record.id)

    @property
    def _pid_file(self) -> Path:
        return self.namespace.run_dir / f"vps-{self.machine}.pid"

    def _prepare_disk(self) -> None:
        if self.record.rescue:
            self._prepare_rescue()
            return
        self.disk.create()
        addresses = self.namespace.addresses
        self.surroundings.put_on(self.disk)
        self.disk.write(NETWORK_FILE, network_file(self.record, self.namespace.addresses))
        if not self.record.booted_before:
            self.disk.write("/etc/resolv.conf", f"nameserver {addresses.v4_of(RESOLVER)}\n")
            self.record.booted_before = True
            self.save()
        write_seed(self.disk, self.record.id, self.record.hostname, self.record.public_keys, self.user_data)

    def _prepare_rescue(self) -> None:
        """A fresh system each time, which knows its network and whose keys may come in, and nothing else."""
        self.disk.create()
        shutil.rmtree(self.rescue_disk.upper.parent, ignore_errors=True)
        self.rescue_disk.create()
        rescue, record, addresses = self.rescue_disk, self.record, self.namespace.addresses
        rescue.write(NETWORK_FILE, network_file(record, addresses))
        rescue.write("/etc/resolv.conf", f"nameserver {addresses.v4_of(RESOLVER)}\n")
        write_seed(rescue, f"{record.id}-rescue", f"rescue-{record.hostname}"[:63], record.public_keys, b"")

    async def _forget_neighbours(self) -> None:
        """An address that another server had before is still known under that one's MAC: let all ask anew."""
        await self.namespace.forget_neighbours([*self.record.v4, *self.record.v6], self._guests())

    async def _boot(self) -> int:
        """One life of the system, from power on to its end; returns systemd-nspawn's exit status."""
        await self.group.remove()
        leaf = self.group.child("run")
        leaf.create()
        self.group.limit_memory(self.record.memory)
        booted, attached = (self.rescue_disk, self.disk) if self.record.rescue else (self.disk, None)
        argv = boot_command(booted, self.machine, self.namespace.path, attached)
        self.console.parent.mkdir(parents=True, exist_ok=True)
        with self.console.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *leaf.joining(argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "SYSTEMD_LOG_LEVEL": os.environ.get("SYSTEMD_LOG_LEVEL", "notice"),
                },
            )
        self.namespace.run_dir.mkdir(parents=True, exist_ok=True)
        self._pid_file.write_text(f"{self._process.pid}\n")
        if self._stopping:
            self._process.terminate()
        return await self._process.wait()
