"""Machine types, their stock, images, quotas and what is used of them: GET only."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from sandbox.scaleway.catalogue import Image
from sandbox.scaleway.errors import invalid, not_found
from sandbox.scaleway.routing import Call, Routing, counted_page, instance_page, instance_page_by_name
from sandbox.scaleway.world import AVAILABILITY, IP, SECURITY_GROUP, SERVER, World

LEVELS = ("available", "scarce", "shortage")
IMAGE_TYPES = ("instance_sbs", "instance_local")
# What this cloud does not have, or does not keep in this API.
COUNTED_AS_NONE = (
    "volumes_count", "images_count", "snapshots_count", "volumes_l_ssd_count", "volumes_l_ssd_total_size",
    "volumes_b_ssd_count", "volumes_b_ssd_total_size", "private_nics_count", "placement_groups_count",
    "volumes_scratch_count",
)  # fmt: skip
CREATED = "2026-01-15T09:00:00.000000+00:00"


class Products:
    def __init__(self, world: World, routing: Routing) -> None:
        self._world = world
        zone = "/instance/v1/zones/{zone}"
        routing.add("GET", f"{zone}/products/servers", "products.list", self.types)
        routing.add("GET", f"{zone}/products/servers/availability", "availability.list", self.stock)
        routing.add("GET", f"{zone}/dashboard", "dashboard.get", self.dashboard)
        routing.add("GET", "/iam/v1alpha1/quota", "quota.list", self.quota)
        routing.add("GET", f"{zone}/images", "images.list", self.images)
        routing.add("GET", f"{zone}/images/{{id}}", "images.get", self.image)
        routing.add("GET", "/marketplace/v2/local-images", "local_images.list", self.local_images)

    async def quota(self, call: Call) -> Response:
        """Limits of the organization (IAM): here they hold over all zones."""
        settings = self._world.settings
        limits = {"instance_servers": settings.quota_servers, "instance_ips": settings.quota_ips}
        found = [
            {
                "name": name,
                "limit": limit,
                "unlimited": False,
                "pretty_name": name.replace("_", " ").capitalize(),
                "unit": "",
                "description": "",
                "locality_type": "global",
                "limits": [{"global": True, "limit": limit}],
            }
            for name, limit in limits.items()
        ]
        return counted_page(call, "quota", found)

    async def dashboard(self, call: Call) -> Response:
        """How many of each there are in the zone."""
        world, zone = self._world, call.zone
        servers, ips = world.in_zone(SERVER, zone), world.in_zone(IP, zone)
        types = [each["commercial_type"] for each in servers]
        counts: dict[str, Any] = dict.fromkeys(COUNTED_AS_NONE, 0)
        counts |= {
            "servers_count": len(servers),
            "running_servers_count": len([each for each in servers if each["state"] == "running"]),
            "servers_by_types": {name: types.count(name) for name in sorted(set(types))},
            "ips_count": len(ips),
            "ips_unused": len([each for each in ips if each["server"] is None]),
            "security_groups_count": len(world.in_zone(SECURITY_GROUP, zone)),
        }
        return JSONResponse({"dashboard": counts})

    async def types(self, call: Call) -> Response:
        products = self._world.catalogue.products(call.zone)
        return instance_page_by_name(
            call, "servers", {name: each.as_json() for name, each in products.items()}
        )

    async def stock(self, call: Call) -> Response:
        names = self._world.catalogue.products(call.zone)
        levels = {name: {"availability": availability(self._world, call.zone, name)} for name in names}
        return instance_page_by_name(call, "servers", levels)

    async def images(self, call: Call) -> Response:
        """Images of one's own project: none here but those that the stand-in offers under a label."""
        name = call.query("name")
        found = [
            each for each in self._world.catalogue.images(call.zone) if name in (None, each.name, each.label)
        ]
        return instance_page(call, "images", [image_json(each) for each in found])

    async def image(self, call: Call) -> Response:
        found = self._world.catalogue.image(call.zone, call.path("id"))
        if found is None:
            raise not_found("instance_image", call.path("id"))
        return JSONResponse({"image": image_json(found)})

    async def local_images(self, call: Call) -> Response:
        label, zone = call.query("image_label"), call.query("zone")
        kind = call.query("type") or "unknown_type"
        if not label:
            raise invalid("image_label", "required", "one of image_id, version_id and image_label is needed")
        if not self._world.catalogue.knows_label(label):
            raise not_found("MarketplaceImage", label)
        kinds = IMAGE_TYPES if kind == "unknown_type" else (kind,)
        zones = [zone] if zone else self._world.catalogue.zones
        found = [
            self._local_image(image, each)
            for name in zones
            for image in self._world.catalogue.images(name, label)
            for each in kinds
            if each in IMAGE_TYPES
        ]
        return counted_page(call, "local_images", found)

    def _local_image(self, image: Image, kind: str) -> dict[str, Any]:
        products = self._world.catalogue.products(image.zone)
        fitting = [name for name, each in products.items() if each.arch == image.arch]
        return {
            "id": image.id,
            "arch": image.arch,
            "zone": image.zone,
            "label": image.label,
            "type": kind,
            "compatible_commercial_types": fitting,
        }


def availability(world: World, zone: str, name: str) -> str:
    """The stock of a machine type: what the control API set, else what the catalogue says."""
    override = world.store.get(AVAILABILITY, f"{zone}/{name}")
    return str(override["level"]) if override else world.catalogue.products(zone)[name].availability


def set_availability(world: World, zone: str, name: str, level: str) -> None:
    """Raises ValueError for an unknown zone, type or level."""
    if zone not in world.catalogue.zones or name not in world.catalogue.products(zone) or level not in LEVELS:
        raise ValueError(f"unknown zone {zone}, type {name} or level {level} (levels: {', '.join(LEVELS)})")
    world.store.put(AVAILABILITY, f"{zone}/{name}", {"level": level})


def image_json(image: Image) -> dict[str, Any]:
    return {
        "id": image.id,
        "name": image.name,
        "arch": image.arch,
        "creation_date": CREATED,
        "modification_date": CREATED,
        "default_bootscript": None,
        "extra_volumes": {},
        "from_server": "",
        "organization": "51b656e3-4865-41e8-adbc-0c45bdd780db",
        "project": "51b656e3-4865-41e8-adbc-0c45bdd780db",
        "public": True,
        "root_volume": {
            "id": image.id,
            "name": "",
            "size": 0,
            "volume_type": "sbs_snapshot",
        },
        "state": "available",
        "tags": [],
        "zone": image.zone,
    }
