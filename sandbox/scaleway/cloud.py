"""The stand-in as a whole: the application that speaks HTTP, and what the control API may see and set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from sandbox.faults import Faults
from sandbox.hosts.fleet import Hosts
from sandbox.net import AddressRange
from sandbox.scaleway.errors import not_found
from sandbox.scaleway.habits import HABITS
from sandbox.scaleway.ipam import Ipam
from sandbox.scaleway.ips import Ips
from sandbox.scaleway.key_manager import KeyManager, render
from sandbox.scaleway.power import Power
from sandbox.scaleway.products import Products, set_availability
from sandbox.scaleway.routing import Routing, answered, refusal
from sandbox.scaleway.security_groups import SecurityGroups
from sandbox.scaleway.servers import Servers
from sandbox.scaleway.settings import ScalewaySettings
from sandbox.scaleway.ssh_keys import SshKeys
from sandbox.scaleway.user_data import UserData
from sandbox.scaleway.volumes import Volumes
from sandbox.scaleway.world import (
    AVAILABILITY,
    ENCRYPTION_KEY,
    IP,
    SECURITY_GROUP,
    SERVER,
    SSH_KEY,
    VOLUME,
    Resolve,
    SetPtr,
    World,
)
from sandbox.store import Store


class ScalewayCloud:
    """One cloud over one set of servers. `resume` after the namespace is up, `stop` before it goes down."""

    def __init__(
        self,
        store: Store,
        addresses: AddressRange,
        hosts: Hosts,
        faults: Faults,
        settings: ScalewaySettings,
        set_ptr: SetPtr,
        resolve: Resolve | None = None,
    ) -> None:
        resolver = resolve or resolver_at(str(addresses.resolver))
        self._world = World(store, addresses, hosts, faults, settings, set_ptr, resolver)
        self._power = Power(self._world)
        faults.add_habits(HABITS)
        routing = Routing(self._world)
        Products(self._world, routing)
        Ips(self._world, routing, self._power)
        Servers(self._world, routing, self._power)
        UserData(self._world, routing)
        SecurityGroups(self._world, routing, self._power)
        Volumes(self._world, routing)
        SshKeys(self._world, routing)
        Ipam(self._world, routing)
        KeyManager(self._world, routing)
        self.app = Starlette(
            routes=routing.routes, exception_handlers={404: _no_such_call, 405: _no_such_call}
        )

    async def resume(self) -> None:
        """Boot the servers that were on and finish what was under way when the sandbox went down."""
        await self._power.resume()

    async def stop(self) -> None:
        """Shut the servers down cleanly; their disks and the books stay."""
        await self._world.stop_background()
        await self._world.hosts.stop_all()

    def books(self) -> dict[str, Any]:
        """Everything that exists in this cloud, as its own documents, and every reverse name that is set."""
        store = self._world.store
        ips = store.list(IP)
        reverses = {each["address"]: each["reverse"] for each in ips if each["reverse"]}
        reverses |= {name["address"]: name["hostname"] for each in ips for name in each["reverses"]}
        return {
            "servers": store.list(SERVER),
            "ips": ips,
            "volumes": store.list(VOLUME),
            "security_groups": [each for each in store.list(SECURITY_GROUP) if not each["project_default"]],
            "ssh_keys": store.list(SSH_KEY),
            "encryption_keys": [render(each) for each in store.list(ENCRYPTION_KEY)],
            "reverses": reverses,
            "availability": store.list(AVAILABILITY),
        }

    def ip_pool(self) -> dict[str, list[str]]:
        """Which IPv4 addresses are offered next (`next`, first first), which were asked for, which are in use."""
        return self._world.pool.view(self._in_use())

    def offer(self, addresses: Sequence[str]) -> dict[str, list[str]]:
        """Hand out these IPv4 addresses next, in this order. Raises ValueError saying which cannot be given."""
        self._world.pool.offer(addresses, self._in_use())
        return self.ip_pool()

    def set_availability(self, zone: str, commercial_type: str, level: str) -> None:
        """Stock of a machine type: available, scarce or shortage. Raises ValueError."""
        set_availability(self._world, zone, commercial_type, level)

    def _in_use(self) -> set[str]:
        return {each["address"] or each["prefix"] for each in self._world.store.list(IP)}


def create_app(
    store: Store,
    addresses: AddressRange,
    hosts: Hosts,
    faults: Faults,
    settings: ScalewaySettings,
    set_ptr: SetPtr,
    resolve: Resolve | None = None,
) -> Starlette:
    """The application alone; its cloud is at `app.state.cloud`."""
    cloud = ScalewayCloud(store, addresses, hosts, faults, settings, set_ptr, resolve)
    cloud.app.state.cloud = cloud
    return cloud.app


def resolver_at(address: str) -> Resolve:
    """Asks the sandbox's resolver; a name that does not exist or does not answer has no addresses."""
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [address]
    resolver.lifetime = 3.0

    async def resolve(name: str, kind: str) -> set[str]:
        try:
            answer = await resolver.resolve(name, kind, search=False)
        except dns.exception.DNSException:
            return set()
        return {str(each) for each in answer}

    return resolve


async def _no_such_call(request: Request, _: Exception) -> Response:
    return answered(refusal(not_found("path", request.url.path)))
