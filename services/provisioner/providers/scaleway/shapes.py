"""From Scaleway's JSON to the port's own shapes. Fields that are not read may come and go."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from services.provisioner.ports import (
    Availability,
    CloudInstance,
    CloudIp,
    CloudRule,
    CloudSecurityGroup,
    CloudVolume,
    MachineType,
)

Json = dict[str, Any]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def ip(item: Json) -> CloudIp:
    reverse = item.get("reverse")
    return CloudIp(
        id=item["id"],
        tags=tuple(item.get("tags") or ()),
        family=6 if item["type"] == "routed_ipv6" else 4,
        address=item.get("address"),
        prefix=item.get("prefix"),
        ipam_id=item.get("ipam_id"),
        reverse=str(reverse).rstrip(".") if reverse else None,
        server_id=(item.get("server") or {}).get("id"),
    )


def group(item: Json) -> CloudSecurityGroup:
    return CloudSecurityGroup(
        id=item["id"],
        tags=tuple(item.get("tags") or ()),
        created_at=_moment(item.get("creation_date")),
        name=item.get("name", ""),
        blocks_mail=bool(item.get("enable_default_security", True)),
    )


def rule(item: Json) -> CloudRule:
    return CloudRule(
        direction=item["direction"],
        action=item["action"],
        protocol=item["protocol"],
        source=item["ip_range"],
        port=item.get("dest_port_from"),
        editable=bool(item.get("editable", True)),
    )


STATES: dict[str, Literal["stopped", "starting", "running", "stopping", "locked"]] = {
    "stopped": "stopped",
    "stopped in place": "stopped",
    "starting": "starting",
    "running": "running",
    "stopping": "stopping",
    "locked": "locked",
}


def server(item: Json) -> CloudInstance:
    volumes = item.get("volumes") or {}
    return CloudInstance(
        id=item["id"],
        tags=tuple(item.get("tags") or ()),
        created_at=_moment(item.get("creation_date")),
        name=item.get("name", ""),
        state=STATES.get(item.get("state", ""), "unknown"),
        detail=item.get("state_detail") or "",
        ip_ids=tuple(ip["id"] for ip in item.get("public_ips") or ()),
        volume_ids=tuple(volumes[key]["id"] for key in sorted(volumes)),
        security_group_id=(item.get("security_group") or {}).get("id"),
        boot_type="rescue" if item.get("boot_type") == "rescue" else "local",
        commercial_type=item.get("commercial_type") or "",
    )


def machine_type(name: str, item: Json, availability: Availability) -> MachineType:
    price = item.get("monthly_price")
    return MachineType(
        name=name,
        availability=availability,
        monthly_cents=None if price is None else round(float(price) * 100),
        vcpus=int(item["ncpus"]),
        memory_bytes=int(item["ram"]),
    )


def volume(item: Json) -> CloudVolume:
    return CloudVolume(
        id=item["id"],
        tags=tuple(item.get("tags") or ()),
        created_at=_moment(item.get("created_at")),
        in_use=bool(item.get("references")),
    )
