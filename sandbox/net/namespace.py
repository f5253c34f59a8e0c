"""A network namespace that is the outside world: a bridge with the infrastructure's addresses, and one way in.

Servers hang on the bridge; the machine is one more port of it (a veth with the control plane's address). The
namespace has no default route and does not forward, so nothing in it can leave the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from sandbox.net.addresses import APT_PROXY, CONTROL_PLANE, AddressRange
from sandbox.net.cgroups import Cgroup
from sandbox.net.commands import run

BRIDGE = "br0"
MAIL_PORTS = (25, 465, 587)
NETNS_DIR = Path("/run/netns")
DAEMON_GROUP = "net-"
BRIDGE_MAC = "02:5c:00:00:00:01"  # locally administered (IEEE 802, U/L bit)
SERVER_GROUP = "vps-"
NSPAWN_COMMAND = "systemd-nspawn"

# A bridge-family table sees packets to the bridge's own addresses as well as those between servers, so it hooks
# prerouting. Adding is idempotent and leaves the set alone: which servers may send survives a second `up`.
MAIL_FILTER = f"""
add table bridge sendchief
add set bridge sendchief mail_allowed {{ type ifname; }}
add chain bridge sendchief from_servers {{ type filter hook prerouting priority 0; policy accept; }}
flush chain bridge sendchief from_servers
add rule bridge sendchief from_servers iifname "vb-*" iifname != @mail_allowed \
tcp dport {{ {", ".join(map(str, MAIL_PORTS))} }} counter drop
"""


class Namespace:
    """Namespace `sc-<id>` over `addresses`; pid files of spawned daemons go to `run_dir`.

    The host side of the veth has the same name, and so has the directory of control groups.
    """

    def __init__(self, identifier: str, addresses: AddressRange, run_dir: Path) -> None:
        if not identifier.isalnum() or len(identifier) > 12:
            raise ValueError(
                f"namespace id {identifier!r}: letters and digits, 12 at most (an interface name holds 15)"
            )
        self.identifier = identifier
        self.name = f"sc-{identifier}"
        self.addresses = addresses
        self.run_dir = run_dir

    @property
    def path(self) -> Path:
        return NETNS_DIR / self.name

    @property
    def host_device(self) -> str:
        return self.name

    def cgroup(self, name: str) -> Cgroup:
        return Cgroup(f"{self.name}/{name}")

    def entering(self, argv: Sequence[str]) -> list[str]:
        """`argv` run in the namespace. Not `ip netns exec`: that remounts /sys and hides the control groups."""
        return ["nsenter", f"--net={self.path}", "--", *argv]

    async def up(self) -> None:
        """Make what is missing of namespace, bridge, addresses, veth and mail filter."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if not self.path.exists():
            await run("ip", "netns", "add", self.name)
        await self._up_inside()
        await self._up_host_side()
        await run(*self.entering(["nft", "-f", "-"]), stdin=MAIL_FILTER)

    async def _up_inside(self) -> None:
        if BRIDGE not in await self._links_inside():
            # A bridge without an address of its own takes the lowest of its ports' and changes it as servers come and
            # go; whoever remembers the former one talks into the void for half a minute.
            add = ("link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge", "forward_delay", "0")
            await run("ip", "-n", self.name, *add)
        settings = {
            "net.ipv6.conf.all.accept_dad": 0,
            "net.ipv6.conf.default.accept_dad": 0,
            f"net.ipv6.conf.{BRIDGE}.accept_dad": 0,
            "net.ipv4.ip_forward": 0,
            "net.ipv6.conf.all.forwarding": 0,
            # Daemons in here run unprivileged and still answer on 53, 25, 80, 443.
            "net.ipv4.ip_unprivileged_port_start": 0,
        }
        await run(*self.entering(["sysctl", "-qw", *(f"{key}={value}" for key, value in settings.items())]))
        lines = ["link set lo up", f"link set {BRIDGE} up"]
        for offset in self.addresses.infra_offsets():
            lines.append(f"address replace {self.addresses.v4_of(offset)}/26 dev {BRIDGE}")
            lines.append(f"address replace {self.addresses.v6_of(offset)}/64 dev {BRIDGE} nodad")
        await run("ip", "-n", self.name, "-batch", "-", stdin="\n".join(lines) + "\n")

    async def _up_host_side(self) -> None:
        device = self.host_device
        if not self._host_device_exists():
            await run("ip", "link", "add", device, "type", "veth", "peer", "name", "host", "netns", self.name)
        await run("ip", "-n", self.name, "link", "set", "host", "master", BRIDGE, "up")
        prefix = f"net.ipv6.conf.{device}"
        await run(
            "sysctl", "-qw", f"{prefix}.accept_dad=0", f"{prefix}.accept_ra=0", f"{prefix}.disable_ipv6=0"
        )
        ours, proxy = self.addresses.v4_of(CONTROL_PLANE), self.addresses.v4_of(APT_PROXY)
        lines = [
            f"address replace {ours}/26 dev {device}",
            f"address replace {proxy}/32 dev {device}",
            f"address replace {self.addresses.v6_of(CONTROL_PLANE)}/64 dev {device} nodad",
            f"link set {device} up",
        ]
        await run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def _host_device_exists(self) -> bool:
        return Path(f"/sys/class/net/{self.host_device}").exists()

    async def _links_inside(self) -> set[str]:
        return {each["ifname"] for each in json.loads(await run("ip", "-n", self.name, "-j", "link", "show"))}

    async def forget_neighbours(
        self, addresses: Sequence[IPv4Address | IPv6Address], guests: Sequence[int]
    ) -> None:
        """Drop what the machine, the namespace and the servers (by a process id in each) know of `addresses`."""
        places = [["ip"], ["ip", "-n", self.name]]
        places += [["nsenter", f"--target={pid}", "--net", "--", "ip"] for pid in guests]
        flushes = [
            run(*place, f"-{address.version}", "neighbour", "flush", "to", str(address), check=False)
            for place in places
            for address in addresses
        ]
        await asyncio.gather(*flushes)

    async def allow_mail(self, interface: str, allowed: bool) -> None:
        """Let the server behind bridge port `interface` (`vb-…`) send to ports 25, 465 and 587, or stop it."""
        verb = "add" if allowed else "delete"
        present = f'"{interface}"' in await self._mail_filter()
        if present != allowed:
            command = f'{verb} element bridge sendchief mail_allowed {{ "{interface}" }}'
            await run(*self.entering(["nft", command]))

    async def mail_allowed(self, interface: str) -> bool:
        return f'"{interface}"' in await self._mail_filter()

    async def _mail_filter(self) -> str:
        return await run(*self.entering(["nft", "list", "set", "bridge", "sendchief", "mail_allowed"]))

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        cgroup: str,
        env: Mapping[str, str] | None = None,
        uid: int | None = None,
        cwd: Path | None = None,
        inside: bool = True,
    ) -> asyncio.subprocess.Process:
        """Start a daemon in the namespace (or beside it, `inside=False`), appending its output to `log`.

        It runs in control group `sc-<id>/net-<cgroup>` and its pid is in `<run_dir>/<cgroup>.pid`. `env` is the
        whole environment apart from PATH. With `uid` it runs as that user and group without any privilege.
        A group left over by a crash is emptied first.
        """
        group = self.cgroup(DAEMON_GROUP + cgroup)
        if group.exists():
            await group.stop(seconds=3)
        group.create()
        command = list(argv)
        if uid is not None:
            command = [
                "setpriv",
                f"--reuid={uid}",
                f"--regid={uid}",
                "--clear-groups",
                "--no-new-privs",
                *command,
            ]
        if inside:
            command = self.entering(command)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *group.joining(command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.run_dir.mkdir(parents=True, exist_ok=True)
        (self.run_dir / f"{cgroup}.pid").write_text(f"{process.pid}\n")
        return process

    async def stop(self, cgroup: str, seconds: float = 5.0) -> bool:
        """End the daemon started as `cgroup`; True when SIGTERM was enough. Also works after a crash of ours."""
        clean = await self.cgroup(DAEMON_GROUP + cgroup).stop(seconds)
        (self.run_dir / f"{cgroup}.pid").unlink(missing_ok=True)
        return clean

    async def down(self, seconds: float = 20.0) -> None:
        """Stop everything in the namespace and remove it; complete after a crash and when nothing is there.

        Servers are asked to power off: systemd-nspawn must not be killed, its container would live on.
        """
        stopping = []
        for group in Cgroup(self.name).children():
            name = group.path.rpartition("/")[2]
            if name.startswith(SERVER_GROUP):
                stopping.append(group.stop(seconds, command=NSPAWN_COMMAND))
            elif name.startswith(DAEMON_GROUP):
                stopping.append(self.stop(name.removeprefix(DAEMON_GROUP), seconds=3))
        await asyncio.gather(*stopping)
        if self._host_device_exists():
            await run("ip", "link", "delete", self.host_device)
        if self.path.exists():
            await run("ip", "netns", "delete", self.name)
        for directory in Cgroup(self.name).directories:
            try:
                os.rmdir(directory)  # only when no other process of the stack has a group in it
            except OSError:
                continue
