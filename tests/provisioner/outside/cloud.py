"""A small cloud in memory, with the misbehaviour that matters: late accepts, lost answers, lagging lists, 404 for the
living, refusals. It implements the provisioner's own port; the vendor's HTTP is tested elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from services.provisioner.ports import (
    Availability,
    BootType,
    CloudBusy,
    CloudError,
    CloudInstance,
    CloudIp,
    CloudNotFound,
    CloudRefused,
    CloudRule,
    CloudSecurityGroup,
    CloudUnavailable,
    CloudVolume,
    InstanceRequest,
    Limit,
    MachineType,
)


@dataclass
class Thing:
    """Something at the cloud. `visible_at` is when lists show it."""

    id: str
    kind: str
    tags: tuple[str, ...]
    created: float
    visible_at: float
    zone: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Faults:
    """`lost`: how many creates of a kind answer nothing although they happen, after `late` seconds. `refuse`: errors
    that the next calls of a method raise instead. `hidden`: ids that answer 404 although they live."""

    lost: Counter[str] = field(default_factory=Counter)
    late: float = 0.0
    list_lag: float = 0.0
    refuse: dict[str, list[CloudError]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    blocks_mail: bool = False
    boot_seconds: float = 0.02
    reverse_lag: float = 0.0
    detaching: float = 0.0


class MemoryCloud:
    """`clock` gives seconds; a simulation brings its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.things: dict[str, Thing] = {}
        self.pending: list[Thing] = []
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.offers = [f"198.51.100.{n}" for n in range(16, 60)]
        self.stock: dict[str, Availability] = {
            "DEV1-S": "available",
            "PLAY2-PICO": "available",
            "DEV1-M": "scarce",
        }
        self.stock_of: dict[str, dict[str, Availability]] = {}
        self.quotas: dict[str, int | None] = {"servers": 50, "addresses": 20}
        self.user_data: dict[str, bytes] = {}
        self.powered: Counter[str] = Counter()
        self.resolves: dict[str, str] = {}
        self._count = 0

    # -- the books -----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        now = self.clock()
        for thing in [one for one in self.pending if one.created <= now]:
            self.pending.remove(thing)
            self.things[thing.id] = thing

    def living(self, kind: str) -> list[Thing]:
        self._settle()
        return [thing for thing in self.things.values() if thing.kind == kind]

    def _begin(self, method: str) -> None:
        self.calls[method] += 1
        self._settle()
        waiting = self.faults.refuse.get(method)
        if waiting:
            raise waiting.pop(0)

    def _create(self, zone: str, kind: str, tags: Sequence[str], data: dict[str, Any]) -> Thing:
        self._count += 1
        now = self.clock()
        lost = self.faults.lost[kind] > 0
        born = now + (self.faults.late if lost else 0.0)
        thing = Thing(
            f"{kind}-{self._count}", kind, tuple(tags), born, born + self.faults.list_lag, zone, data
        )
        self.pending.append(thing)
        self._settle()
        if lost:
            self.faults.lost[kind] -= 1
            raise CloudUnavailable("the answer was lost")
        return thing

    def _get(self, kind: str, key: str) -> Thing:
        thing = self.things.get(key)
        if thing is None or thing.kind != kind or key in self.faults.hidden:
            raise CloudNotFound(f"{kind} {key}")
        return thing

    def _list(self, zone: str, kind: str, tag: str) -> list[Thing]:
        now = self.clock()
        return [
            thing
            for thing in self.living(kind)
            if thing.zone == zone
            and any(tag in one for one in thing.tags)
            and thing.visible_at <= now
            and thing.id not in self.faults.hidden
        ]

    @staticmethod
    def _seen(thing: Thing) -> dict[str, Any]:
        return {"id": thing.id, "tags": thing.tags, "created_at": datetime.fromtimestamp(thing.created, UTC)}

    # -- addresses -----------------------------------------------------------------------------------------

    def _ip(self, thing: Thing) -> CloudIp:
        return CloudIp.model_validate({**self._seen(thing), **thing.data})

    async def reserve_ip(self, zone: str, family: Literal[4, 6], tags: Sequence[str]) -> CloudIp:
        self._begin("reserve_ip")
        data: dict[str, Any] = {"family": family, "ipam_id": f"ipam-{self._count}"}
        if family == 4:
            data["address"] = self.offers.pop(0)
        else:
            data["prefix"] = f"2001:db8:5c:0:{self._count:x}::/80"
        return self._ip(self._create(zone, "ip", tags, data))

    async def get_ip(self, zone: str, ip_id: str) -> CloudIp:
        self._begin("get_ip")
        return self._ip(self._get("ip", ip_id))

    async def list_ips(self, zone: str, tag: str) -> list[CloudIp]:
        self._begin("list_ips")
        return [self._ip(thing) for thing in self._list(zone, "ip", tag)]

    async def set_reverse(self, zone: str, ip: CloudIp, address: str, hostname: str | None) -> None:
        self._begin("set_reverse")
        thing = self._get("ip", ip.id)
        if hostname is not None and ip.family == 4 and self.resolves.get(hostname) != address:
            raise CloudRefused("Your reverse must resolve", code="invalid_arguments", argument="reverse")
        thing.data["reverse"] = hostname
        thing.data["reverse_from"] = self.clock() + self.faults.reverse_lag

    async def reverse_of(self, zone: str, ip: CloudIp, address: str) -> str | None:
        self._begin("reverse_of")
        data = self._get("ip", ip.id).data
        name = data.get("reverse")
        return str(name) if name and data["reverse_from"] <= self.clock() else None

    async def release_ip(self, zone: str, ip_id: str) -> None:
        self._begin("release_ip")
        thing = self._get("ip", ip_id)
        del self.things[ip_id]
        if thing.data.get("address"):
            self.offers.insert(0, thing.data["address"])

    # -- packet filter -------------------------------------------------------------------------------------

    def _group(self, thing: Thing) -> CloudSecurityGroup:
        return CloudSecurityGroup(
            id=thing.id, tags=thing.tags, name=thing.data["name"], blocks_mail=self.faults.blocks_mail
        )

    async def create_security_group(self, zone: str, name: str, tags: Sequence[str]) -> CloudSecurityGroup:
        self._begin("create_security_group")
        return self._group(self._create(zone, "security_group", tags, {"name": name, "rules": []}))

    async def get_security_group(self, zone: str, group_id: str) -> CloudSecurityGroup:
        self._begin("get_security_group")
        return self._group(self._get("security_group", group_id))

    async def list_security_groups(self, zone: str, tag: str) -> list[CloudSecurityGroup]:
        self._begin("list_security_groups")
        return [self._group(thing) for thing in self._list(zone, "security_group", tag)]

    async def set_rules(self, zone: str, group_id: str, rules: Sequence[CloudRule]) -> None:
        self._begin("set_rules")
        self._get("security_group", group_id).data["rules"] = list(rules)

    async def get_rules(self, zone: str, group_id: str) -> list[CloudRule]:
        self._begin("get_rules")
        return list(self._get("security_group", group_id).data["rules"])

    async def delete_security_group(self, zone: str, group_id: str) -> None:
        self._begin("delete_security_group")
        self._get("security_group", group_id)
        if any(one.data["security_group_id"] == group_id for one in self.living("instance")):
            raise CloudBusy("still in use")
        del self.things[group_id]

    # -- instances -----------------------------------------------------------------------------------------

    def _instance(self, thing: Thing) -> CloudInstance:
        data = thing.data
        if data["state"] in ("starting", "stopping") and data["until"] <= self.clock():
            data["state"] = "running" if data["state"] == "starting" else "stopped"
        return CloudInstance.model_validate({**self._seen(thing), **data})

    async def availability(self, zone: str) -> Mapping[str, Availability]:
        self._begin("availability")
        return dict(self.stock_of.get(zone, self.stock))

    async def machine_types(self, zone: str) -> list[MachineType]:
        self._begin("machine_types")
        stock = self.stock_of.get(zone, self.stock)
        return [
            MachineType(name=name, availability=level, monthly_cents=655, vcpus=2, memory_bytes=2 * 1024**3)
            for name, level in stock.items()
        ]

    async def limits(self, zone: str) -> list[Limit]:
        self._begin("limits")
        kinds = [one.kind for one in self.things.values() if one.zone == zone]
        used = {"servers": kinds.count("instance"), "addresses": kinds.count("ip")}
        return [
            Limit.model_validate({"resource": name, "quota": quota, "used": used[name]})
            for name, quota in self.quotas.items()
        ]

    async def find_image(self, zone: str, label: str, commercial_type: str) -> str:
        self._begin("find_image")
        return f"image-{label}"

    async def create_instance(
        self, zone: str, request: InstanceRequest, tags: Sequence[str]
    ) -> CloudInstance:
        self._begin("create_instance")
        volume = Thing(
            f"volume-{self._count + 1}",
            "volume",
            (),
            self.clock(),
            self.clock(),
            zone,
            {"in_use": True},
        )
        self.things[volume.id] = volume
        data = {
            "name": request.name,
            "state": "stopped",
            "until": 0.0,
            "ip_ids": request.ip_ids,
            "volume_ids": (volume.id,),
            "security_group_id": request.security_group_id,
            "boot_type": "local",
            "commercial_type": request.commercial_type,
        }
        return self._instance(self._create(zone, "instance", tags, data))

    async def get_instance(self, zone: str, instance_id: str) -> CloudInstance:
        self._begin("get_instance")
        return self._instance(self._get("instance", instance_id))

    async def list_instances(self, zone: str, tag: str) -> list[CloudInstance]:
        self._begin("list_instances")
        return [self._instance(thing) for thing in self._list(zone, "instance", tag)]

    async def set_user_data(self, zone: str, instance_id: str, content: bytes) -> None:
        self._begin("set_user_data")
        self._get("instance", instance_id)
        self.user_data[instance_id] = content

    async def power_on(self, zone: str, instance_id: str) -> None:
        self._begin("power_on")
        thing = self._get("instance", instance_id)
        self._instance(thing)
        if thing.data["state"] != "stopped":
            raise CloudBusy(f"state {thing.data['state']}")
        self.powered[instance_id] += 1
        thing.data |= {"state": "starting", "until": self.clock() + self.faults.boot_seconds}

    async def power_off(self, zone: str, instance_id: str) -> None:
        self._begin("power_off")
        thing = self._get("instance", instance_id)
        thing.data |= {"state": "stopping", "until": self.clock() + self.faults.boot_seconds}

    async def stop_in_place(self, zone: str, instance_id: str) -> None:
        self._begin("stop_in_place")
        thing = self._get("instance", instance_id)
        if self._instance(thing).state != "running":
            raise CloudBusy(f"state {thing.data['state']}")
        thing.data |= {"state": "stopping", "until": self.clock() + self.faults.boot_seconds}

    async def set_boot_type(self, zone: str, instance_id: str, boot_type: BootType) -> None:
        self._begin("set_boot_type")
        self._get("instance", instance_id).data["boot_type"] = boot_type

    async def delete_instance(self, zone: str, instance_id: str) -> None:
        self._begin("delete_instance")
        thing = self._get("instance", instance_id)
        if self._instance(thing).state != "stopped":
            raise CloudBusy("not stopped")
        del self.things[instance_id]
        for volume_id in thing.data["volume_ids"]:
            self.things[volume_id].data |= {
                "in_use": False,
                "until": self.clock() + self.faults.detaching,
            }

    # -- volumes -------------------------------------------------------------------------------------------

    def _used(self, thing: Thing) -> bool:
        return bool(thing.data["in_use"]) or thing.data.get("until", 0.0) > self.clock()

    def _volume(self, thing: Thing) -> CloudVolume:
        return CloudVolume(id=thing.id, tags=thing.tags, in_use=self._used(thing))

    async def get_volume(self, zone: str, volume_id: str) -> CloudVolume:
        self._begin("get_volume")
        return self._volume(self._get("volume", volume_id))

    async def list_volumes(self, zone: str, tag: str) -> list[CloudVolume]:
        self._begin("list_volumes")
        return [self._volume(thing) for thing in self._list(zone, "volume", tag)]

    async def tag_volume(self, zone: str, volume_id: str, tags: Sequence[str]) -> None:
        self._begin("tag_volume")
        self._get("volume", volume_id).tags = tuple(tags)

    async def delete_volume(self, zone: str, volume_id: str) -> None:
        self._begin("delete_volume")
        if self._used(self._get("volume", volume_id)):
            raise CloudBusy("in use")
        del self.things[volume_id]
