"""A cloud: what it has, what it can be asked, and what can go wrong.

Errors say what can be done about them; a step never looks at a vendor's words.

CloudError
├── CloudUnavailable    no answer, a 5xx, a broken connection: a create may or may not have happened
├── CloudRateLimited    definitely not done; `retry_after` seconds
│   └── CloudPaused     definitely not done; our own gate holds calls to this cloud back for a while
├── CloudBusy           definitely not done; the thing is in a transition, try again shortly
├── CloudOutOfStock     definitely not done; no such type in this zone now
├── CloudQuota          definitely not done; a quota of ours is used up
├── CloudDenied         definitely not done; our credential is bad or lacks a right
├── CloudNotFound       there is no such thing, or it cannot be seen now
└── CloudRefused        definitely not done; the request itself is at fault
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict


class CloudError(Exception):
    """`code` is the vendor's own word for it, for logs."""

    def __init__(self, detail: str, *, code: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code


class CloudUnavailable(CloudError):
    pass


class CloudRateLimited(CloudError):
    def __init__(self, detail: str, *, retry_after: float = 2.0, code: str = "") -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class CloudPaused(CloudRateLimited):
    """Not sent at all: `reconciler/gate.py`."""


class CloudBusy(CloudError):
    pass


class CloudOutOfStock(CloudError):
    pass


class CloudQuota(CloudError):
    pass


class CloudDenied(CloudError):
    pass


class CloudNotFound(CloudError):
    pass


class CloudRefused(CloudError):
    """`argument` is the field at fault, where the vendor names one."""

    def __init__(self, detail: str, *, code: str = "", argument: str = "") -> None:
        super().__init__(detail, code=code)
        self.argument = argument


class _Seen(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    tags: tuple[str, ...] = ()
    created_at: datetime | None = None


class CloudIp(_Seen):
    """`address` is the IPv4; for a routed IPv6 only `prefix` is known, and any host part of it may be used."""

    family: Literal[4, 6]
    address: str | None = None
    prefix: str | None = None
    ipam_id: str | None = None
    reverse: str | None = None
    server_id: str | None = None


class CloudSecurityGroup(_Seen):
    """`blocks_mail`: the cloud's own rules drop outgoing mail, whatever ours say."""

    name: str = ""
    blocks_mail: bool = True


class CloudRule(BaseModel):
    """One rule. `ports` None means all; `editable` False marks the cloud's own."""

    model_config = ConfigDict(frozen=True)

    direction: Literal["inbound", "outbound"]
    action: Literal["accept", "drop"]
    protocol: Literal["TCP", "UDP", "ICMP", "ANY"]
    source: str
    port: int | None = None
    editable: bool = True


BootType = Literal["local", "rescue"]


class CloudInstance(_Seen):
    """`ip_ids` are the attached addresses, `volume_ids` what must be deleted besides the instance. `boot_type`: from
    its own disk, or the cloud's rescue system."""

    name: str = ""
    state: Literal["stopped", "starting", "running", "stopping", "locked", "unknown"] = "unknown"
    detail: str = ""
    ip_ids: tuple[str, ...] = ()
    volume_ids: tuple[str, ...] = ()
    security_group_id: str | None = None
    boot_type: BootType = "local"
    commercial_type: str = ""


class CloudVolume(_Seen):
    """`in_use`: still attached, or being detached."""

    in_use: bool = False


class InstanceRequest(BaseModel):
    """All that decides a new instance; it is stored with the intent, so that each try asks for the same thing."""

    model_config = ConfigDict(frozen=True)

    name: str
    commercial_type: str
    image: str
    ip_ids: tuple[str, ...]
    security_group_id: str


Availability = Literal["available", "scarce", "shortage"]


class MachineType(BaseModel):
    """One type as a zone offers it. `monthly_cents`: the cloud's price in euros, without tax, addresses and disk."""

    model_config = ConfigDict(frozen=True)

    name: str
    availability: Availability
    monthly_cents: int | None
    vcpus: int
    memory_bytes: int


class Limit(BaseModel):
    """How many our account may have, over all zones (None: no limit), and has in one zone."""

    model_config = ConfigDict(frozen=True)

    resource: Literal["servers", "addresses"]
    quota: int | None
    used: int


class CloudPort(Protocol):
    """A compute cloud. `tags` given to a create must come back exactly from get and list.

    Lists filter by one tag and may lag behind; a thing can be missing from them, or say not found, and still live.
    """

    async def reserve_ip(self, zone: str, family: Literal[4, 6], tags: Sequence[str]) -> CloudIp: ...
    async def get_ip(self, zone: str, ip_id: str) -> CloudIp: ...
    async def list_ips(self, zone: str, tag: str) -> list[CloudIp]: ...
    async def set_reverse(self, zone: str, ip: CloudIp, address: str, hostname: str | None) -> None:
        """Asks for the PTR of `address`; None resets it to the cloud's own. `CloudRefused(argument="reverse")`
        while the name does not resolve to the address yet."""
        ...

    async def reverse_of(self, zone: str, ip: CloudIp, address: str) -> str | None:
        """The PTR of `address` that the cloud says it has, when it is one of ours."""
        ...

    async def release_ip(self, zone: str, ip_id: str) -> None: ...

    async def create_security_group(
        self, zone: str, name: str, tags: Sequence[str]
    ) -> CloudSecurityGroup: ...
    async def get_security_group(self, zone: str, group_id: str) -> CloudSecurityGroup: ...
    async def list_security_groups(self, zone: str, tag: str) -> list[CloudSecurityGroup]: ...
    async def set_rules(self, zone: str, group_id: str, rules: Sequence[CloudRule]) -> None: ...
    async def get_rules(self, zone: str, group_id: str) -> list[CloudRule]: ...
    async def delete_security_group(self, zone: str, group_id: str) -> None: ...

    async def availability(self, zone: str) -> Mapping[str, Availability]: ...
    async def machine_types(self, zone: str) -> list[MachineType]:
        """Every type of the zone with its stock and price."""
        ...

    async def limits(self, zone: str) -> list[Limit]:
        """Our quotas, and what is used of them in this zone."""
        ...

    async def find_image(self, zone: str, label: str, commercial_type: str) -> str: ...
    async def create_instance(
        self, zone: str, request: InstanceRequest, tags: Sequence[str]
    ) -> CloudInstance: ...
    async def get_instance(self, zone: str, instance_id: str) -> CloudInstance: ...
    async def list_instances(self, zone: str, tag: str) -> list[CloudInstance]: ...
    async def set_user_data(self, zone: str, instance_id: str, content: bytes) -> None: ...
    async def power_on(self, zone: str, instance_id: str) -> None: ...
    async def power_off(self, zone: str, instance_id: str) -> None: ...
    async def stop_in_place(self, zone: str, instance_id: str) -> None:
        """Shuts it down and keeps its place, so that it can be started again whatever the stock."""
        ...

    async def set_boot_type(self, zone: str, instance_id: str, boot_type: BootType) -> None:
        """What its next start boots."""
        ...

    async def delete_instance(self, zone: str, instance_id: str) -> None: ...

    async def get_volume(self, zone: str, volume_id: str) -> CloudVolume: ...
    async def list_volumes(self, zone: str, tag: str) -> list[CloudVolume]: ...
    async def tag_volume(self, zone: str, volume_id: str, tags: Sequence[str]) -> None: ...
    async def delete_volume(self, zone: str, volume_id: str) -> None: ...
