"""What the cloud offers where: zones, machine types with prices, images. The data is in catalogue.json."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from sandbox.hosts.recipes import Kind

Arch = Literal["x86_64", "arm64"]
HOURS_PER_MONTH = 730
NAMESPACE = uuid.UUID("6f5ee2e4-3a0d-4a5a-9d7e-5c3b3f3f0a11")
# Only this architecture can be booted here.
BOOTABLE: Arch = "x86_64"


@dataclass(frozen=True)
class Image:
    """A local image: one label in one zone for one architecture, with an id of its own."""

    id: str
    label: str
    name: str
    zone: str
    arch: Arch
    kind: Kind


@dataclass(frozen=True)
class Product:
    name: str
    ncpus: int
    ram: int
    monthly_price: float
    arch: Arch
    availability: str

    def as_json(self) -> dict[str, Any]:
        """The shape of GET /products/servers."""
        bandwidth = 200_000_000
        return {
            "monthly_price": self.monthly_price,
            "hourly_price": round(self.monthly_price / HOURS_PER_MONTH, 6),
            "alt_names": [],
            "per_volume_constraint": {"l_ssd": {"min_size": 0, "max_size": 0}},
            "volumes_constraint": {"min_size": 0, "max_size": 0},
            "ncpus": self.ncpus,
            "gpu": 0,
            "gpu_info": None,
            "ram": self.ram,
            "arch": self.arch,
            "baremetal": False,
            "network": {
                "interfaces": [{"internal_bandwidth": None, "internet_bandwidth": bandwidth}],
                "sum_internal_bandwidth": bandwidth,
                "sum_internet_bandwidth": bandwidth,
                "ipv6_support": True,
            },
            "capabilities": {
                "boot_types": ["local", "rescue"],
                "placement_groups": True,
                "block_storage": True,
                "private_network": 8,
                "hot_snapshots_local_volume": True,
            },
            "scratch_storage_max_size": 0,
            "scratch_storage_max_volumes_count": 0,
            "block_bandwidth": 41943040,
            "end_of_service": False,
        }


class Catalogue:
    """The data file, read once."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.regions: dict[str, list[str]] = data["regions"]
        self._not_offered: dict[str, list[str]] = data["not_offered"]
        self._products = {
            name: Product(
                name=name,
                ncpus=each["ncpus"],
                ram=each["ram_gib"] * 1024**3,
                monthly_price=each["monthly_price"],
                arch=each["arch"],
                availability=each["availability"],
            )
            for name, each in data["products"].items()
        }
        self._images = [
            Image(
                id=str(uuid.uuid5(NAMESPACE, f"{label}/{zone}/{arch}")),
                label=label,
                name=each["name"],
                zone=zone,
                arch=arch,
                kind=each["image"],
            )
            for label, each in data["image_labels"].items()
            for zone in self.zones
            for arch in ("x86_64", "arm64")
        ]

    @property
    def zones(self) -> list[str]:
        return [zone for zones in self.regions.values() for zone in zones]

    def products(self, zone: str) -> dict[str, Product]:
        missing = self._not_offered.get(zone, [])
        return {name: each for name, each in self._products.items() if name not in missing}

    def images(self, zone: str, label: str | None = None) -> list[Image]:
        return [each for each in self._images if each.zone == zone and label in (None, each.label)]

    def image(self, zone: str, identifier: str) -> Image | None:
        return next((each for each in self.images(zone) if each.id == identifier), None)

    def knows_label(self, label: str) -> bool:
        return any(each.label == label for each in self._images)


@cache
def catalogue() -> Catalogue:
    return Catalogue(json.loads(Path(__file__).with_name("catalogue.json").read_text()))
