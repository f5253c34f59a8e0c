"""What a server goes through: the ladder of states, over a real system that boots and shuts down.

The answer to an action comes at once and the rest happens after it. The books hold each rung, so that a sandbox that
is stopped half-way takes the work up again.
"""

from __future__ import annotations

import asyncio
import logging
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from sandbox.scaleway.volumes import detach_volume
from sandbox.scaleway.world import IP, SECURITY_GROUP, SERVER, SSH_KEY, USER_DATA, World
from sandbox.store import Document

log = logging.getLogger(__name__)

STOPPED, STARTING, RUNNING, STOPPING = "stopped", "starting", "running", "stopping"
STOPPED_IN_PLACE = "stopped in place"
CLOUD_INIT = "cloud-init"


class Power:
    """Actions on servers. Each method runs to the end of its ladder; callers run it in the background."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.hosts.on_power_off = self._went_off_by_itself

    async def power_on(self, identifier: str) -> None:
        settings = self._world.settings
        self._step(identifier, STARTING, "allocating node")
        await asyncio.sleep(settings.allocating_s)
        self._step(identifier, STARTING, "provisioning node")
        await asyncio.sleep(settings.provisioning_s)
        await self._start_host(identifier)
        # "running" says that the machine was started, not that its system is up.
        self._step(identifier, RUNNING, "booting kernel")

    async def power_off(self, identifier: str, *, in_place: bool = False) -> None:
        self._step(identifier, STOPPING, "stopping in place" if in_place else "stopping")
        await self._stop_host(identifier)
        self._step(identifier, STOPPED_IN_PLACE if in_place else STOPPED, "")

    async def reboot(self, identifier: str) -> None:
        self._step(identifier, STOPPING, "rebooting")
        await self._stop_host(identifier)
        self._step(identifier, STARTING, "starting")
        await self._start_host(identifier)
        self._step(identifier, RUNNING, "booting kernel")

    async def terminate(self, identifier: str) -> None:
        """Shut down and delete. Addresses and block volumes stay behind."""
        self._step(identifier, STOPPING, "terminating")
        await self._stop_host(identifier)
        await asyncio.sleep(self._world.settings.terminating_s)
        await self.delete(identifier)

    async def delete(self, identifier: str) -> None:
        """Remove a server that is off, let its addresses go and detach its volume."""
        server = self._world.store.get(SERVER, identifier)
        if server is None:
            return
        with self._world.store.transaction():
            for each in self._world.ips_of(identifier):
                each["server"] = None
                self._world.save(IP, each)
            self._world.store.delete(SERVER, identifier)
            self._world.store.delete(USER_DATA, identifier)
        self._world.in_background(detach_volume(self._world, server["volume"]), "detaching volume")
        await self._world.hosts.delete(identifier)

    async def addresses_changed(self, identifier: str) -> None:
        """Give the server the addresses that the books say it has."""
        instance = self._world.hosts.get(identifier)
        if instance is not None:
            await instance.set_addresses(*addresses_of(self._world, identifier))

    async def apply_mail_filter(self, server: Document) -> None:
        """Open the mail ports outwards when the server's security group allows it, close them when not."""
        group = self._world.store.get(SECURITY_GROUP, server["security_group"])
        if self._world.hosts.get(server["id"]) is not None:
            allowed = group is not None and not group["enable_default_security"]
            await self._world.hosts.allow_mail(server["id"], allowed)

    async def resume(self) -> None:
        """After a restart of the sandbox: boot what was running, finish what was under way."""
        await self._world.hosts.resume()
        for server in self._world.store.list(SERVER):
            state, detail, identifier = server["state"], server["state_detail"], server["id"]
            if state == STARTING:
                self._world.in_background(self.power_on(identifier), f"power on {identifier}")
            elif state == STOPPING and detail == "terminating":
                self._world.in_background(self.terminate(identifier), f"terminate {identifier}")
            elif state == STOPPING and detail == "rebooting":
                self._world.in_background(self.reboot(identifier), f"reboot {identifier}")
            elif state == STOPPING:
                work = self.power_off(identifier, in_place=detail == "stopping in place")
                self._world.in_background(work, f"power off {identifier}")

    async def _start_host(self, identifier: str) -> None:
        instance = self._world.hosts.get(identifier)
        if instance is None:
            raise RuntimeError(f"server {identifier} has no machine behind it")
        keys = [each["public_key"] for each in self._world.store.list(SSH_KEY) if not each["disabled"]]
        instance.record.public_keys = keys
        document = self._world.store.get(USER_DATA, identifier) or {}
        await instance.set_user_data(str(document.get(CLOUD_INIT, "")).encode("utf-8", "surrogateescape"))
        await instance.set_addresses(*addresses_of(self._world, identifier))
        server = self._world.store.get(SERVER, identifier) or {}
        instance.record.rescue = server.get("boot_type") == "rescue"
        await instance.start()

    async def _stop_host(self, identifier: str) -> None:
        await asyncio.sleep(self._world.settings.stopping_s)
        instance = self._world.hosts.get(identifier)
        if instance is not None:
            await instance.stop()

    def _step(self, identifier: str, state: str, detail: str) -> None:
        server = self._world.store.get(SERVER, identifier)
        if server is not None:
            server["state"], server["state_detail"] = state, detail
            self._world.save(SERVER, server)

    def _went_off_by_itself(self, identifier: str) -> None:
        log.info("server %s powered itself off", identifier)
        self._step(identifier, STOPPED_IN_PLACE, "")


def addresses_of(world: World, identifier: str) -> tuple[list[IPv4Address], list[IPv6Address]]:
    """What a server's network is configured with: each IPv4 address, and the first host of each IPv6 prefix."""
    ips = world.ips_of(identifier)
    v4 = [IPv4Address(each["address"]) for each in ips if each["address"]]
    v6 = [IPv6Network(each["prefix"])[1] for each in ips if each["prefix"]]
    return v4, v6
