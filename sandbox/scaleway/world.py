"""What every part of the stand-in shares: books on disk, the servers behind them, names, time, background work."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sandbox.faults import Faults
from sandbox.hosts.fleet import Hosts
from sandbox.net import AddressRange
from sandbox.scaleway.catalogue import Catalogue, catalogue
from sandbox.scaleway.errors import not_found
from sandbox.scaleway.pool import AddressPool
from sandbox.scaleway.settings import ScalewaySettings
from sandbox.store import Document, Store

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address
SetPtr = Callable[[Address, str | None], Awaitable[None]]
Resolve = Callable[[str, str], Awaitable[set[str]]]

SERVER, IP, VOLUME = "server", "ip", "volume"
SECURITY_GROUP, SSH_KEY, USER_DATA, AVAILABILITY = "security_group", "ssh_key", "user_data", "availability"
ENCRYPTION_KEY = "encryption_key"

# How a missing thing is called in an answer.
RESOURCE = {
    SERVER: "instance_server",
    IP: "instance_ip",
    VOLUME: "volume",
    SECURITY_GROUP: "instance_security_group",
    SSH_KEY: "ssh_key",
    ENCRYPTION_KEY: "key",
}


class World:
    """`set_ptr(address, name or None)` writes the reverse zone; `resolve(name, "A" or "AAAA")` asks the resolver."""

    def __init__(
        self,
        store: Store,
        addresses: AddressRange,
        hosts: Hosts,
        faults: Faults,
        settings: ScalewaySettings,
        set_ptr: SetPtr,
        resolve: Resolve,
        data: Catalogue | None = None,
    ) -> None:
        self.store = store
        self.addresses = addresses
        self.hosts = hosts
        self.faults = faults
        self.settings = settings
        self.set_ptr = set_ptr
        self.resolve = resolve
        self.catalogue = data or catalogue()
        self.pool = AddressPool(store, addresses)
        self._background: set[asyncio.Task[None]] = set()

    def find(self, kind: str, zone: str | None, identifier: str) -> Document:
        """The document, a copy. Raises the API's 404; a thing of another zone is not there either."""
        found = self.store.get(kind, identifier)
        if found is None or (zone is not None and found.get("zone") != zone):
            raise not_found(RESOURCE[kind], identifier)
        return found

    def save(self, kind: str, document: Document) -> Document:
        document["modification_date"] = now()
        self.store.put(kind, document["id"], document)
        return document

    def in_zone(self, kind: str, zone: str) -> list[Document]:
        return [each for each in self.store.list(kind) if each["zone"] == zone]

    def ips_of(self, server_id: str) -> list[Document]:
        """The addresses attached to a server, in the order of reservation."""
        return [each for each in self.store.list(IP) if each["server"] == server_id]

    def in_background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run what goes on after the answer. A failure is logged; the books show the state it stopped in."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("%s failed", task.get_name(), exc_info=task.exception())

    async def stop_background(self) -> None:
        """End what still goes on; `Power.resume` takes it up from the books."""
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def now() -> str:
    """The API's time format: RFC 3339 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def new_id() -> str:
    return str(uuid.uuid4())


def with_tags(items: Iterable[Document], wanted: str | None) -> list[Document]:
    """Those that carry every tag of a comma separated list."""
    tags = {tag for tag in (wanted or "").split(",") if tag}
    return [each for each in items if tags <= set(each.get("tags", []))]
