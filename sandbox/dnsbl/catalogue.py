"""Which blacklists the sandbox has, and the data file that tells the product about them.

The file has the format of the product's own catalogue: ``[[list]]`` with name, zone, tier (1 = refuses an address,
2 = weighs, 3 = shown only), ipv6, codes (answer -> meaning) and delist_url.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUFFIX = "bl.sandbox.test"


@dataclass(frozen=True)
class Blacklist:
    """One list: its zone, what its answers mean (RFC 5782 section 2.1) and whether it knows IPv6."""

    label: str
    name: str
    tier: int
    ipv6: bool
    codes: Mapping[str, str]

    @property
    def zone(self) -> str:
        return f"{self.label}.{SUFFIX}"

    @property
    def delist_url(self) -> str:
        return f"https://{self.label}.{SUFFIX}/delist"


LISTS: tuple[Blacklist, ...] = (
    Blacklist(
        "zen",
        "Sandbox ZEN",
        1,
        True,
        {
            "127.0.0.2": "known spam source",
            "127.0.0.3": "snowshoe spam source",
            "127.0.0.4": "exploited host",
            "127.0.0.10": "policy: not expected to send mail",
        },
    ),
    Blacklist("barricade", "Sandbox Barricade", 1, False, {"127.0.0.2": "poor reputation"}),
    Blacklist("cop", "Sandbox Cop", 1, False, {"127.0.0.2": "reported by users"}),
    Blacklist("passive", "Sandbox Passive", 1, False, {"127.0.0.2": "hit a spam trap"}),
    Blacklist(
        "drone",
        "Sandbox Drone",
        2,
        True,
        {"127.0.0.3": "chat drone", "127.0.0.8": "open SOCKS proxy", "127.0.0.9": "open HTTP proxy"},
    ),
    Blacklist(
        "monkey", "Sandbox Monkey", 2, False, {"127.0.0.2": "spam seen", "127.0.0.3": "spam seen twice"}
    ),
    Blacklist("neighbours", "Sandbox Neighbours", 3, False, {"127.0.0.2": "listed with its whole network"}),
)


def write_catalogue(path: Path, lists: Sequence[Blacklist] = LISTS) -> None:
    """Write the lists as TOML. JSON's strings are TOML's basic strings."""
    lines = ["# The blacklists of this sandbox. Written at each start."]
    for each in lists:
        codes = ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in each.codes.items())
        lines += [
            "",
            "[[list]]",
            f"name = {json.dumps(each.name)}",
            f"zone = {json.dumps(each.zone)}",
            f"tier = {each.tier}",
            f"ipv6 = {str(each.ipv6).lower()}",
            f"codes = {{ {codes} }}",
            f"delist_url = {json.dumps(each.delist_url)}",
        ]
    temporary = path.with_name(path.name + ".new")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)
