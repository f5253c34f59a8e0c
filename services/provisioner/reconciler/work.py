"""One pass over one server: what is known of it, the ports to look and act through, and the fenced way to write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.provisioner.hosts.port import HostAddress, HostPort
from services.provisioner.models import Address, CloudResource, Condition, Server
from services.provisioner.plans import Catalogue
from services.provisioner.ports import BillingPort, CloudPort, SelfTestPort, VaultPort
from services.provisioner.reconciler.identity import OneTimeKeys
from services.provisioner.reconciler.lease import Lease, LostLease
from services.provisioner.reconciler.store import Known, Store, Write
from services.provisioner.settings import WorkerSettings
from shared.clock import Clock

__all__ = ["Known", "Ports", "Work", "Write"]


@dataclass(frozen=True)
class Ports:
    """Everything outside that a step may use."""

    settings: WorkerSettings
    catalogue: Catalogue
    clock: Clock
    cloud: CloudPort
    host: HostPort
    vault: VaultPort
    billing: BillingPort
    self_test: SelfTestPort
    one_time_keys: OneTimeKeys
    user_ca_public_key: str
    """Whose certificates hosts accept: `ssh-ed25519 AAAA…`."""


class Work:
    """A pass: the lease, what is known, and the ports."""

    def __init__(self, store: Store, lease: Lease, known: Known, ports: Ports) -> None:
        self.store = store
        self.lease = lease
        self.known = known
        self.ports = ports
        self.writes = 0
        """Transactions of steps so far: whoever has made one has changed something."""

    @property
    def server(self) -> Server:
        return self.known.server

    @property
    def settings(self) -> WorkerSettings:
        return self.ports.settings

    def now(self) -> datetime:
        """By the store's clock, as it was at the claim plus the time that has passed since."""
        return self.lease.claimed_at + timedelta(seconds=self.lease.age())

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Write]:
        """A short transaction under the fence, for a step. Raises LostLease before anything is written."""
        self.writes += 1
        async with self.record() as write:
            yield write

    @asynccontextmanager
    async def record(self) -> AsyncIterator[Write]:
        """The same for the engine, which writes nothing but conditions, the log and the server's own row."""
        async with self.store.hold(self.lease) as held:
            yield Write(held, self.lease, self.now())
        self.known.server = held.server

    async def need_lease(self, seconds: float) -> None:
        """Makes sure that the lease lasts `seconds` more, before a call whose effect cannot be taken back."""
        wanted = seconds + self.settings.lease_margin_seconds
        if self.lease.remaining() < wanted:
            await self.store.renew(self.lease)
        if self.lease.remaining() < wanted:
            raise LostLease(f"{self.lease.server_id}: the lease is too short for this call")

    def condition(self, kind: str) -> Condition | None:
        return self.known.conditions.get(kind)

    def untried(self, kind: str) -> bool:
        """Whether nothing has been tried since the step of this condition was begun, neither by us nor by a worker
        that died."""
        condition = self.condition(kind)
        if condition is None or condition.reason == "Reopened":
            return True
        return condition.reason == "Running" and condition.since >= self.lease.claimed_at

    def is_true(self, kind: str) -> bool:
        condition = self.condition(kind)
        return condition is not None and condition.status == "true"

    def resource(self, kind: str, slot: str = "main") -> CloudResource | None:
        """The present row of that slot, whatever its state; those that are gone or leaked do not count."""
        return next(
            (
                row
                for row in self.known.resources
                if (row.kind, row.slot) == (kind, slot) and row.state not in ("gone", "leaked")
            ),
            None,
        )

    def bound(self, kind: str, slot: str = "main") -> CloudResource:
        """The bound row of that slot; a step may rely on it when it `needs` the step that binds it."""
        row = self.resource(kind, slot)
        if row is None or row.state != "bound" or row.external_id is None:
            raise LookupError(f"{kind} {slot} of {self.server.id} is not bound")
        return row

    def candidate(self, family: int) -> Address | None:
        """The address in use or in question: the newest that is neither refused nor given back."""
        return _candidate(self.known.addresses, family)

    def chosen(self, family: int) -> Address:
        """The candidate; a step may rely on it when it `needs` the step that reserves addresses."""
        row = self.candidate(family)
        if row is None:
            raise LookupError(f"{self.server.id} has no IPv{family} address")
        return row

    def address(self, family: int) -> str:
        return self.chosen(family).address

    def host_address(self) -> HostAddress:
        """Where the host is, and which key it must show: the one-time key until it has taken its own."""
        return self._host_address(self.server, self.address(4))

    def other_host(self, server_id: str) -> HostAddress:
        """The host of a server that a domain comes from."""
        row = _candidate(self.known.others_addresses.get(server_id, []), 4)
        if row is None:
            raise LookupError(f"{server_id} has no IPv4 address")
        return self._host_address(self.known.others[server_id], row.address)

    def _host_address(self, server: Server, address: str) -> HostAddress:
        one_time = self.ports.one_time_keys.public(server.id, server.incarnation)
        pinned = server.host_key if server.host_key_own and server.host_key else one_time
        return HostAddress(server_id=server.id, address=address, pinned_host_key=pinned)


def _candidate(addresses: Sequence[Address], family: int) -> Address | None:
    usable = [row for row in addresses if row.family == family and row.state in ("checking", "clean", "live")]
    return usable[-1] if usable else None
