"""All servers of one sandbox: made, found again after a restart, started and stopped together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from sandbox.hosts.images import Progress, ensure_image, say
from sandbox.hosts.instance import Instance
from sandbox.hosts.recipes import Kind
from sandbox.hosts.record import InstanceRecord
from sandbox.hosts.surroundings import Surroundings
from sandbox.net import Cgroup, Namespace
from sandbox.net.namespace import NSPAWN_COMMAND, SERVER_GROUP

log = logging.getLogger(__name__)


class Hosts:
    """The servers below `directory`, on the bridge of `namespace`, from images below `images`.

    `surroundings` may be changed at any time; a server sees it at its next boot.
    """

    def __init__(
        self,
        directory: Path,
        namespace: Namespace,
        images: Path,
        surroundings: Surroundings,
        *,
        log_dir: Path,
        apt_proxy_for_builds: str | None = None,
        progress: Progress = say,
    ) -> None:
        # Absolute: the overlay is mounted by another process.
        self.directory = directory.resolve()
        self.namespace = namespace
        self.images = images.resolve()
        self.surroundings = surroundings
        self.log_dir = log_dir.resolve()
        self.on_power_off: Callable[[str], None] = lambda _: None
        self._apt_proxy = apt_proxy_for_builds
        self._progress = progress
        self._instances: dict[str, Instance] = {}
        self._load()

    def _load(self) -> None:
        for file in sorted(self.directory.glob("*/instance.json")):
            record = InstanceRecord.model_validate_json(file.read_text())
            self._instances[record.id] = self._instance(record)

    def _instance(self, record: InstanceRecord) -> Instance:
        return Instance(
            record,
            self.directory / record.id,
            self.namespace,
            self.surroundings,
            self.log_dir,
            on_power_off=lambda identifier: self.on_power_off(identifier),
            guests=self._guests,
        )

    def _guests(self) -> list[int]:
        return [pid for pid in (each.guest_pid() for each in self.all()) if pid is not None]

    async def create(
        self,
        identifier: str,
        *,
        image: Kind,
        hostname: str,
        v4: Sequence[IPv4Address] = (),
        v6: Sequence[IPv6Address] = (),
        public_keys: Sequence[str] = (),
        memory: int = 2 * 1024**3,
    ) -> Instance:
        """A server, powered off. Raises ImageBuildFailed when there is no image and none can be built."""
        root = await ensure_image(self.images, image, apt_proxy=self._apt_proxy, progress=self._progress)
        record = InstanceRecord(
            id=identifier,
            hostname=hostname,
            image=root,
            v4=list(v4),
            v6=list(v6),
            public_keys=list(public_keys),
            memory=memory,
        )
        instance = self._instance(record)
        instance.save()
        self._instances[identifier] = instance
        return instance

    def get(self, identifier: str) -> Instance | None:
        return self._instances.get(identifier)

    def all(self) -> list[Instance]:
        return list(self._instances.values())

    async def delete(self, identifier: str) -> None:
        """Gone, with its disk. Does nothing when there is no such server."""
        instance = self._instances.pop(identifier, None)
        if instance is not None:
            await self.namespace.allow_mail(instance.interface, False)
            await instance.delete()

    async def allow_mail(self, identifier: str, allowed: bool) -> None:
        """Open or close ports 25, 465 and 587 outwards for a server, now and after a restart."""
        instance = self._instances[identifier]
        instance.record.mail_allowed = allowed
        instance.save()
        await self.namespace.allow_mail(instance.interface, allowed)

    async def resume(self) -> None:
        """Boot the servers that were on when the sandbox went down, after ending what a crash left running."""
        known = {instance.group.path for instance in self.all()}
        leftovers = [
            group
            for group in Cgroup(self.namespace.name).children()
            if group.path.rpartition("/")[2].startswith(SERVER_GROUP)
        ]
        await asyncio.gather(*(group.stop(30, command=NSPAWN_COMMAND) for group in leftovers))
        for group in leftovers:
            if group.path not in known:
                log.warning("ended a server that nobody knows: %s", group.path)
        for instance in self.all():
            if instance.record.powered:
                await instance.start()

    async def stop_all(self) -> None:
        """Shut every server down cleanly; `resume` boots them again."""
        results = await asyncio.gather(*(each.stop(remember_powered=True) for each in self.all()))
        if not all(results):
            log.warning("%d of %d servers had to be switched off", results.count(False), len(results))
