"""How a server and a task look in an answer."""

from __future__ import annotations

from ipaddress import IPv6Network
from typing import Any

from sandbox.scaleway.catalogue import BOOTABLE
from sandbox.scaleway.power import RUNNING, STARTING, STOPPED, STOPPED_IN_PLACE, STOPPING
from sandbox.scaleway.products import image_json
from sandbox.scaleway.world import SECURITY_GROUP, VOLUME, World, new_id, now
from sandbox.store import Document

ACTIONS_FROM = {
    STOPPED: ["poweron", "backup"],
    STOPPED_IN_PLACE: ["poweron", "poweroff", "terminate", "backup"],
    RUNNING: ["poweroff", "terminate", "reboot", "stop_in_place", "backup"],
    STARTING: [],
    STOPPING: [],
}


def render_server(world: World, server: Document) -> dict[str, Any]:
    ips = [_public_ip(world, server, each) for each in world.ips_of(server["id"])]
    first_v4 = next((each for each in ips if each["family"] == "inet"), None)
    group = world.store.get(SECURITY_GROUP, server["security_group"]) or {"id": "", "name": ""}
    image = world.catalogue.image(server["zone"], server["image"])
    kept = (
        "id",
        "name",
        "hostname",
        "commercial_type",
        "boot_type",
        "organization",
        "project",
        "tags",
        "state",
    )
    return {
        **{key: server[key] for key in kept},
        "arch": BOOTABLE,
        "image": image_json(image) if image else None,
        "volumes": _volumes(world, server),
        "state_detail": server["state_detail"],
        "protected": server["protected"],
        "public_ip": first_v4,
        "public_ips": ips,
        "mac_address": server["mac_address"],
        "routed_ip_enabled": True,
        "enable_ipv6": False,
        "ipv6": None,
        "extra_networks": [],
        "private_ip": None,
        "dynamic_ip_required": server["dynamic_ip_required"],
        "creation_date": server["creation_date"],
        "modification_date": server["modification_date"],
        "bootscript": None,
        "security_group": {"id": group["id"], "name": group["name"]},
        "location": None if server["state"] == STOPPED else _location(server),
        "maintenances": [],
        "allowed_actions": ACTIONS_FROM[server["state"]],
        "placement_group": None,
        "private_nics": [],
        "zone": server["zone"],
        "filesystems": [],
        "end_of_service": False,
        "dns": f"{server['id']}.pub.instances.scw.cloud",
    }


def _volumes(world: World, server: Document) -> dict[str, Any]:
    if world.store.get(VOLUME, server["volume"]) is None:
        return {}
    volume = {"id": server["volume"], "volume_type": "sbs_volume", "state": "available", "boot": False}
    return {"0": {**volume, "zone": server["zone"]}}


def _public_ip(world: World, server: Document, ip: Document) -> dict[str, Any]:
    common = {
        "id": ip["id"],
        "dynamic": False,
        "tags": ip["tags"],
        "state": "attached",
        "ipam_id": ip["ipam_id"],
    }
    if ip["prefix"] is None:
        v4 = {"address": ip["address"], "gateway": str(world.addresses.gateway), "netmask": "32"}
        return {**common, **v4, "family": "inet", "provisioning_mode": "dhcp"}
    # Autoconfigured from the MAC address, so it exists only since there is a server.
    address = str(IPv6Network(ip["prefix"])[int(server["mac_address"].replace(":", ""), 16)])
    v6 = {"address": address, "gateway": "fe80::dc00:ff:fe00:1", "netmask": "64"}
    return {**common, **v6, "family": "inet6", "provisioning_mode": "slaac"}


def task_json(server: Document, action: str, zone: str) -> dict[str, Any]:
    """A task that can never be looked at: the API has no call for it."""
    return {
        "id": new_id(),
        "description": f"server_{action}",
        "status": "pending",
        "progress": 0,
        "started_at": now(),
        "terminated_at": None,
        "href_from": f"/servers/{server['id']}/action",
        "href_result": f"/servers/{server['id']}",
        "zone": zone,
    }


def _location(server: Document) -> dict[str, str]:
    return {
        "zone_id": server["zone"],
        "platform_id": "14",
        "cluster_id": "1",
        "hypervisor_id": "101",
        "node_id": str(int(server["id"][:4], 16)),
    }
