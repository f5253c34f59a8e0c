"""Scaleway, by the twenty calls we need. Instance v1 (zonal), Block v1 (zonal), IPAM v1 (regional), Marketplace v2.

Source: https://www.scaleway.com/en/developers/api/instances/ and the vendor's recorded traffic. What the API answers to
an action is no task that could be followed: the server itself is looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal

from services.provisioner.ports import (
    Availability,
    BootType,
    CloudBusy,
    CloudInstance,
    CloudIp,
    CloudRefused,
    CloudRule,
    CloudSecurityGroup,
    CloudUnavailable,
    CloudVolume,
    InstanceRequest,
    Limit,
    MachineType,
)
from services.provisioner.providers.scaleway import shapes
from services.provisioner.providers.scaleway.errors import error_of
from shared.http import AsyncClient, HTTPError, Response
from shared.observability.logging import get_logger

Json = dict[str, Any]
IMAGE_TYPE = "instance_sbs"
PAGE = 100

_log = get_logger("scaleway")


class Scaleway:
    """A `CloudPort`. `client` carries the key in X-Auth-Token; `project` owns whatever is made."""

    def __init__(self, client: AsyncClient, project: str) -> None:
        self._client = client
        self._project = project

    # -- transport -----------------------------------------------------------------------------------------

    async def _call(self, method: str, path: str, **options: Any) -> Response:
        """Raises a CloudError. A request that was never sent did not happen; any other silence is unknown."""
        try:
            response = await self._client.request(method, path, **options)
        except HTTPError as error:
            kind = type(error).__name__
            if kind in ("ConnectError", "ConnectTimeout", "PoolTimeout"):
                raise CloudBusy(f"not sent: {kind}", code="not_sent") from error
            raise CloudUnavailable(f"no answer: {kind}", code="no_answer") from error
        _log.debug(
            "scaleway", method=method, path=path, status=response.status_code,
            vendor_request_id=response.headers.get("X-Request-Id"),
        )  # fmt: skip
        if response.status_code >= 400:
            raise error_of(response)
        return response

    async def _json(self, method: str, path: str, **options: Any) -> Json:
        response = await self._call(method, path, **options)
        try:
            body = response.json()
        except (ValueError, RecursionError) as error:
            raise CloudUnavailable("the answer is not JSON", code="no_json") from error
        if not isinstance(body, dict):
            raise CloudUnavailable("the answer is no object", code="no_json")
        return body

    async def _pages(self, path: str, key: str, params: Mapping[str, str]) -> AsyncIterator[Json]:
        """Items of an Instance v1 list; X-Total-Count says how many there are."""
        seen = 0
        for page in range(1, 1000):
            query = {**params, "page": str(page), "per_page": str(PAGE)}
            response = await self._call("GET", path, params=query)
            items = response.json()[key]
            for item in items:
                yield item
            seen += len(items)
            if not items or seen >= int(response.headers.get("X-Total-Count", seen)):
                return

    def _tagged(self, tag: str) -> dict[str, str]:
        return {"tags": tag, "project": self._project}

    # -- addresses -----------------------------------------------------------------------------------------

    async def reserve_ip(self, zone: str, family: Literal[4, 6], tags: Sequence[str]) -> CloudIp:
        body = {"project": self._project, "type": f"routed_ipv{family}", "tags": list(tags)}
        return shapes.ip((await self._json("POST", _instance(zone, "ips"), json=body))["ip"])

    async def get_ip(self, zone: str, ip_id: str) -> CloudIp:
        return shapes.ip((await self._json("GET", _instance(zone, "ips", ip_id)))["ip"])

    async def list_ips(self, zone: str, tag: str) -> list[CloudIp]:
        items = self._pages(_instance(zone, "ips"), "ips", self._tagged(tag))
        return [shapes.ip(item) async for item in items if tag in item.get("tags", ())]

    async def set_reverse(self, zone: str, ip: CloudIp, address: str, hostname: str | None) -> None:
        """The IPv4's by Instance, where null resets it; the IPv6's only by IPAM, where the list is replaced."""
        if ip.family == 4:
            await self._call("PATCH", _instance(zone, "ips", ip.id), json={"reverse": hostname})
            return
        reverses = [] if hostname is None else [{"hostname": hostname, "address": address}]
        await self._call("PATCH", _ipam(zone, ip), json={"reverses": reverses})

    async def reverse_of(self, zone: str, ip: CloudIp, address: str) -> str | None:
        if ip.family == 4:
            return (await self.get_ip(zone, ip.id)).reverse
        body = await self._json("GET", _ipam(zone, ip))
        found = (item for item in body.get("reverses") or [] if item.get("address") == address)
        return next((str(item["hostname"]).rstrip(".") for item in found), None)

    async def release_ip(self, zone: str, ip_id: str) -> None:
        await self._call("DELETE", _instance(zone, "ips", ip_id))

    # -- security groups -----------------------------------------------------------------------------------

    async def create_security_group(self, zone: str, name: str, tags: Sequence[str]) -> CloudSecurityGroup:
        body = {
            "name": name,
            "project": self._project,
            "stateful": True,
            "inbound_default_policy": "drop",
            "outbound_default_policy": "accept",
            "enable_default_security": False,
            "tags": list(tags),
        }
        return shapes.group(
            (await self._json("POST", _instance(zone, "security_groups"), json=body))["security_group"]
        )

    async def get_security_group(self, zone: str, group_id: str) -> CloudSecurityGroup:
        path = _instance(zone, "security_groups", group_id)
        return shapes.group((await self._json("GET", path))["security_group"])

    async def list_security_groups(self, zone: str, tag: str) -> list[CloudSecurityGroup]:
        items = self._pages(_instance(zone, "security_groups"), "security_groups", self._tagged(tag))
        return [shapes.group(item) async for item in items if tag in item.get("tags", ())]

    async def set_rules(self, zone: str, group_id: str, rules: Sequence[CloudRule]) -> None:
        """Replaces all rules of ours."""
        body = {
            "rules": [
                {
                    "action": rule.action,
                    "protocol": rule.protocol,
                    "direction": rule.direction,
                    "ip_range": rule.source,
                    "position": position,
                    "dest_port_from": rule.port,
                    "dest_port_to": None,
                }
                for position, rule in enumerate(rules, start=1)
            ]
        }
        await self._call("PUT", _instance(zone, "security_groups", group_id, "rules"), json=body)

    async def get_rules(self, zone: str, group_id: str) -> list[CloudRule]:
        path = _instance(zone, "security_groups", group_id, "rules")
        return [shapes.rule(item) async for item in self._pages(path, "rules", {})]

    async def delete_security_group(self, zone: str, group_id: str) -> None:
        await self._call("DELETE", _instance(zone, "security_groups", group_id))

    # -- servers -------------------------------------------------------------------------------------------

    async def availability(self, zone: str) -> Mapping[str, Availability]:
        items = await self._by_name(_instance(zone, "products", "servers", "availability"))
        return {name: item["availability"] for name, item in items.items()}

    async def machine_types(self, zone: str) -> list[MachineType]:
        stock = await self.availability(zone)
        items = await self._by_name(_instance(zone, "products", "servers"))
        return [shapes.machine_type(name, item, stock[name]) for name, item in items.items() if name in stock]

    async def _by_name(self, path: str) -> dict[str, Json]:
        """All pages of a list that is an object by type name."""
        found: dict[str, Json] = {}
        for page in range(1, 100):
            response = await self._call("GET", path, params={"page": str(page), "per_page": str(PAGE)})
            servers = response.json()["servers"]
            found |= servers
            if not servers or len(found) >= int(response.headers.get("X-Total-Count", len(found))):
                break
        return found

    async def limits(self, zone: str) -> list[Limit]:
        """Quotas are the organization's (IAM), their use is told by each zone's dashboard (Instance)."""
        quotas: dict[str, int | None] = {}
        for page in range(1, 100):
            params = {"page": str(page), "page_size": str(PAGE)}
            body = await self._json("GET", "/iam/v1alpha1/quota", params=params)
            items = body["quota"]
            quotas |= {item["name"]: None if item.get("unlimited") else item.get("limit") for item in items}
            if not items or page * PAGE >= int(body.get("total_count", 0)):
                break
        path, params = _instance(zone, "dashboard"), {"project": self._project}
        shown = (await self._json("GET", path, params=params))["dashboard"]
        return [
            Limit(resource="servers", quota=quotas.get("instance_servers"), used=shown["servers_count"]),
            Limit(resource="addresses", quota=quotas.get("instance_ips"), used=shown["ips_count"]),
        ]

    async def find_image(self, zone: str, label: str, commercial_type: str) -> str:
        """The image of that label that this type can boot: a label has one per architecture."""
        params = {"image_label": label, "zone": zone, "type": IMAGE_TYPE, "page_size": "50"}
        body = await self._json("GET", "/marketplace/v2/local-images", params=params)
        for item in body.get("local_images", []):
            if commercial_type in item.get("compatible_commercial_types", ()):
                return str(item["id"])
        raise CloudRefused(f"no image {label} for {commercial_type} in {zone}", code="no_image")

    async def create_instance(
        self, zone: str, request: InstanceRequest, tags: Sequence[str]
    ) -> CloudInstance:
        body = {
            "name": request.name,
            "project": self._project,
            "commercial_type": request.commercial_type,
            "image": request.image,
            "dynamic_ip_required": False,
            "boot_type": "local",
            "public_ips": list(request.ip_ids),
            "security_group": request.security_group_id,
            "tags": list(tags),
            "protected": False,
        }
        return shapes.server((await self._json("POST", _instance(zone, "servers"), json=body))["server"])

    async def get_instance(self, zone: str, instance_id: str) -> CloudInstance:
        return shapes.server((await self._json("GET", _instance(zone, "servers", instance_id)))["server"])

    async def list_instances(self, zone: str, tag: str) -> list[CloudInstance]:
        items = self._pages(_instance(zone, "servers"), "servers", self._tagged(tag))
        return [shapes.server(item) async for item in items if tag in item.get("tags", ())]

    async def set_user_data(self, zone: str, instance_id: str, content: bytes) -> None:
        path = _instance(zone, "servers", instance_id, "user_data", "cloud-init")
        await self._call("PATCH", path, content=content, headers={"Content-Type": "text/plain"})

    async def power_on(self, zone: str, instance_id: str) -> None:
        await self._act(zone, instance_id, "poweron")

    async def power_off(self, zone: str, instance_id: str) -> None:
        await self._act(zone, instance_id, "poweroff")

    async def stop_in_place(self, zone: str, instance_id: str) -> None:
        await self._act(zone, instance_id, "stop_in_place")

    async def set_boot_type(self, zone: str, instance_id: str, boot_type: BootType) -> None:
        body = {"boot_type": boot_type}
        await self._call("PATCH", _instance(zone, "servers", instance_id), json=body)

    async def _act(self, zone: str, instance_id: str, action: str) -> None:
        """A state that the action does not start from is a matter of time, not a fault of the request."""
        try:
            await self._call(
                "POST", _instance(zone, "servers", instance_id, "action"), json={"action": action}
            )
        except CloudRefused as error:
            raise CloudBusy(error.detail, code=error.code) from error

    async def delete_instance(self, zone: str, instance_id: str) -> None:
        await self._call("DELETE", _instance(zone, "servers", instance_id))

    # -- volumes -------------------------------------------------------------------------------------------

    async def get_volume(self, zone: str, volume_id: str) -> CloudVolume:
        return shapes.volume(await self._json("GET", _block(zone, volume_id)))

    async def list_volumes(self, zone: str, tag: str) -> list[CloudVolume]:
        found: list[CloudVolume] = []
        for page in range(1, 1000):
            params = {"tags": tag, "project_id": self._project, "page": str(page), "page_size": str(PAGE)}
            body = await self._json("GET", f"/block/v1/zones/{zone}/volumes", params=params)
            items = body["volumes"]
            found += [shapes.volume(item) for item in items if tag in item.get("tags", ())]
            if not items or page * PAGE >= int(body.get("total_count", 0)):
                break
        return found

    async def tag_volume(self, zone: str, volume_id: str, tags: Sequence[str]) -> None:
        await self._call("PATCH", _block(zone, volume_id), json={"tags": list(tags)})

    async def delete_volume(self, zone: str, volume_id: str) -> None:
        await self._call("DELETE", _block(zone, volume_id))


def _instance(zone: str, *parts: str) -> str:
    return "/".join((f"/instance/v1/zones/{zone}", *parts))


def _block(zone: str, volume_id: str) -> str:
    return f"/block/v1/zones/{zone}/volumes/{volume_id}"


def _ipam(zone: str, ip: CloudIp) -> str:
    return f"/ipam/v1/regions/{zone.rpartition('-')[0]}/ips/{ip.ipam_id}"
