"""What the cloud has of a server that the books have lost: found by its tag, and each part proven to be the server's.

Nothing is taken on the strength of a name or an address: every part carries the tags that were given to it when it was
made, or is a disk inside of a machine that does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from services.provisioner.ports import CloudInstance, CloudIp, CloudPort, CloudSecurityGroup, CloudVolume
from services.provisioner.reconciler import tags

_ROW_ID = re.compile(r"res_[0-9a-f]{32}")


class NotAdoptable(Exception):
    """Nothing was changed. `next_action` says what an operator can do."""

    def __init__(self, detail: str, next_action: str = "") -> None:
        super().__init__(f"{detail} {next_action}".strip())


@dataclass(frozen=True)
class Part:
    """One thing of the machine. `row_id` is the row that it was made under, None for a disk without tags yet."""

    kind: str
    external_id: str
    row_id: str | None
    attempt: int = 1


@dataclass(frozen=True)
class Machine:
    """A machine with all that belongs to it. `beside`: kind and id of whatever else there carries the server's tag."""

    zone: str
    instance: CloudInstance
    ips: tuple[CloudIp, CloudIp]
    """IPv4, IPv6."""
    group: CloudSecurityGroup
    parts: tuple[Part, ...]
    beside: tuple[tuple[str, str], ...]

    def part(self, external_id: str) -> Part:
        return next(one for one in self.parts if one.external_id == external_id)


@dataclass(frozen=True)
class Search:
    """Looks for the machine of one server. `booked`: rows that the server has; `zones`: where it may stand."""

    cloud: CloudPort
    environment: str
    server_id: str
    zones: Sequence[str]
    booked: Collection[str]

    async def find(self, instance_id: str | None) -> Machine:
        """The one that the books do not know, or the named one. Raises NotAdoptable, CloudError."""
        found = [
            (zone, one)
            for zone in self.zones
            for one in await self.cloud.list_instances(zone, tags.server(self.server_id))
            if tags.server(self.server_id) in one.tags
        ]
        if instance_id is not None:
            found = [(zone, one) for zone, one in found if one.id == instance_id]
        else:
            found = [(zone, one) for zone, one in found if tags.value(one.tags, "sc-res") not in self.booked]
        if not found:
            raise NotAdoptable(f"The cloud shows no machine of {self.server_id} that is not on the books.")
        if len(found) > 1:
            shown = ", ".join(f"{one.id} ({zone}, {one.state})" for zone, one in found)
            raise NotAdoptable(f"There are several: {shown}.", "Look at them and name one by --machine.")
        return await self._whole(*found[0])

    async def _whole(self, zone: str, instance: CloudInstance) -> Machine:
        tag = tags.server(self.server_id)
        ips = {one.id: one for one in await self.cloud.list_ips(zone, tag)}
        groups = {one.id: one for one in await self.cloud.list_security_groups(zone, tag)}
        disks = {one.id: one for one in await self.cloud.list_volumes(zone, tag)}
        attached = sorted((ips[key] for key in instance.ip_ids if key in ips), key=lambda one: one.family)
        if len(instance.ip_ids) != 2 or [one.family for one in attached] != [4, 6]:
            raise NotAdoptable(
                f"{instance.id} does not stand behind one IPv4 and one IPv6 with the server's tags."
            )
        group = groups.get(instance.security_group_id or "")
        if group is None:
            raise NotAdoptable(f"The packet filter of {instance.id} does not carry the server's tags.")
        parts = (
            self._part("instance", instance),
            *(self._part("ip", one) for one in attached),
            self._part("security_group", group),
            *(self._disk(key, disks.get(key)) for key in instance.volume_ids),
        )
        shown: dict[str, dict[str, Any]] = {"ip": ips, "security_group": groups, "volume": disks}
        taken = {one.external_id for one in parts}
        beside = [(kind, key) for kind, listed in shown.items() for key in sorted(listed) if key not in taken]
        return Machine(zone, instance, (attached[0], attached[1]), group, parts, tuple(beside))

    def _part(self, kind: str, item: CloudInstance | CloudIp | CloudSecurityGroup | CloudVolume) -> Part:
        """Raises NotAdoptable unless its tags are what `tags.of` gives for a row of this server."""
        row_id, attempt = tags.value(item.tags, "sc-res"), tags.value(item.tags, "sc-att")
        ours = {"sendchief", tags.environment(self.environment), tags.server(self.server_id)}
        if (
            not ours <= set(item.tags)
            or tags.value(item.tags, "sc-srv") != self.server_id
            or tags.value(item.tags, "sc-env") != self.environment
            or not _ROW_ID.fullmatch(row_id or "")
            or not (attempt or "").isdecimal()
        ):
            raise NotAdoptable(f"{kind} {item.id} carries other tags than we give: {', '.join(item.tags)}.")
        return Part(kind, item.id, row_id, int(attempt or 1))

    def _disk(self, disk_id: str, listed: CloudVolume | None) -> Part:
        """A disk gets its tags after it was made. One without is this machine's because it is in it."""
        return Part("volume", disk_id, None) if listed is None else self._part("volume", listed)
