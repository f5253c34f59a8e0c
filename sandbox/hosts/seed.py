"""What cloud-init reads at boot: a NoCloud seed on the disk, standing in for the cloud's metadata service."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sandbox.hosts.disk import Disk

SEED = "/var/lib/cloud/seed/nocloud"


def write_seed(
    disk: Disk, instance_id: str, hostname: str, public_keys: Sequence[str], user_data: bytes
) -> None:
    """Write meta-data and user-data (cloud-init documentation, "NoCloud"); JSON is YAML.

    cloud-init compares the instance id with that of the last boot, so what belongs to an instance runs once.
    """
    meta_data = {"instance-id": instance_id, "local-hostname": hostname, "public-keys": list(public_keys)}
    disk.write(f"{SEED}/meta-data", json.dumps(meta_data) + "\n", mode=0o600)
    disk.write(f"{SEED}/user-data", user_data or b"#cloud-config\n{}\n", mode=0o600)
