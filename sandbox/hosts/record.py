"""What is remembered of a server, and what of it the cloud tells the server at boot."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from pydantic import BaseModel

from sandbox.net import AddressRange
from sandbox.net.addresses import GATEWAY


class InstanceRecord(BaseModel):
    """What is remembered of a server across restarts of the sandbox."""

    id: str
    hostname: str
    image: Path
    v4: list[IPv4Address] = []
    v6: list[IPv6Address] = []
    public_keys: list[str] = []
    memory: int = 2 * 1024**3
    powered: bool = False
    booted_before: bool = False
    mail_allowed: bool = False
    rescue: bool = False
    """Whether it boots the cloud's rescue system, with its own disk at /mnt."""


def network_file(record: InstanceRecord, ours: AddressRange) -> str:
    """What the cloud's DHCP and router advertisements would say, as systemd.network(5)."""
    lines = ["[Match]", "Name=host0", "[Network]", "LinkLocalAddressing=ipv6"]
    # Without probing for duplicates the link is online at once.
    lines += ["IPv6AcceptRA=no", "IPv6DuplicateAddressDetection=0"]
    for v4 in record.v4:
        lines += ["[Address]", f"Address={v4}/{ours.v4.prefixlen}"]
    for v6 in record.v6:
        lines += ["[Address]", f"Address={v6}/{ours.v6.prefixlen}", "DuplicateAddressDetection=none"]
    if record.v4:
        lines += ["[Route]", f"Gateway={ours.v4_of(GATEWAY)}"]
    if record.v6:
        lines += ["[Route]", f"Gateway={ours.v6_of(GATEWAY)}"]
    return "\n".join(lines) + "\n"
