"""The lists as data: read from a file, checked when read, never from code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import SecretStr

from services.reputation.blacklists.denylist import dead

REFUSALS: Final = IPv4Network("127.255.255.0/24")
POLICY: Final = "policy:"
_KEYS = {"name", "zone", "tier", "ipv4", "ipv6", "codes", "white", "refused", "key", "delist_url"}
_RANGE = re.compile(r"(\d+\.\d+\.\d+)\.(\d+)-(\d+)")

Tier = Literal[1, 2, 3]


class BadCatalogue(ValueError):
    """The file cannot be used; the text names the list and what is wrong with it."""


@dataclass(frozen=True)
class Blacklist:
    """One list. `query_zone` holds the account key, if the list has one, and must not be shown or logged."""

    name: str
    zone: str
    tier: Tier
    ipv4: bool
    ipv6: bool
    codes: Mapping[IPv4Address, str]
    white: frozenset[IPv4Address]
    refused: frozenset[IPv4Address]
    delist_url: str
    key: str | None
    query_zone: str | None = field(repr=False)

    @property
    def enabled(self) -> bool:
        """Whether it may be asked: a list that needs an account key is left alone without one."""
        return self.query_zone is not None

    def knows(self, family: int) -> bool:
        return self.ipv6 if family == 6 else self.ipv4


@dataclass(frozen=True)
class Catalogue:
    lists: tuple[Blacklist, ...]

    def for_family(self, family: int) -> tuple[Blacklist, ...]:
        """The lists that can be asked about an address of this family, strongest first."""
        usable = (item for item in self.lists if item.enabled and item.knows(family))
        return tuple(sorted(usable, key=lambda item: item.tier))


def load(path: Path, keys: Mapping[str, SecretStr]) -> Catalogue:
    """The catalogue in `path`. `keys` are account keys by name. Raises `BadCatalogue`."""
    try:
        document = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadCatalogue(f"{path.name}: {error}") from error
    entries = document.get("list")
    if not isinstance(entries, list) or not entries:
        raise BadCatalogue(f"{path.name} has no [[list]]")
    lists = tuple(_blacklist(entry, keys) for entry in entries)
    for attribute in ("name", "zone"):
        values = [getattr(item, attribute) for item in lists]
        for value in values:
            if values.count(value) > 1:
                raise BadCatalogue(f"the {attribute} {value} is used twice")
    return Catalogue(lists)


def _blacklist(entry: Any, keys: Mapping[str, SecretStr]) -> Blacklist:
    if not isinstance(entry, dict):
        raise BadCatalogue("a [[list]] is not a table")
    name = str(entry.get("name", ""))
    if unknown := set(entry) - _KEYS:
        raise BadCatalogue(f"{name}: unknown members {sorted(unknown)}")
    zone, tier, key = str(entry.get("zone", "")), entry.get("tier"), entry.get("key")
    if not name or not zone or tier not in (1, 2, 3) or not entry.get("codes"):
        raise BadCatalogue(f"{name or 'a list'}: name, zone, tier (1, 2, 3) and codes are needed")
    if reason := dead(zone):
        raise BadCatalogue(f"{name}: {reason} is dead")
    if ("{key}" in zone) != (key is not None):
        raise BadCatalogue(f"{name}: key and {{key}} in the zone belong together")
    secret = keys.get(key) if key else None
    query_zone = zone if key is None else zone.replace("{key}", secret.get_secret_value()) if secret else None
    return Blacklist(
        name=name,
        zone=zone,
        tier=tier,
        ipv4=bool(entry.get("ipv4", True)),
        ipv6=bool(entry.get("ipv6", False)),
        codes=_codes(name, entry["codes"]),
        white=frozenset(_address(name, text) for text in entry.get("white", ())),
        refused=frozenset(_address(name, text) for text in entry.get("refused", ())),
        delist_url=str(entry.get("delist_url", "")),
        key=key,
        query_zone=query_zone,
    )


def _codes(name: str, table: Any) -> dict[IPv4Address, str]:
    if not isinstance(table, dict):
        raise BadCatalogue(f"{name}: codes is a table of answers and meanings")
    codes: dict[IPv4Address, str] = {}
    for text, meaning in table.items():
        found = _RANGE.fullmatch(text)
        texts = (
            [f"{found[1]}.{last}" for last in range(int(found[2]), int(found[3]) + 1)] if found else [text]
        )
        codes |= {_address(name, each): str(meaning) for each in texts}
    return codes


def _address(name: str, text: str) -> IPv4Address:
    try:
        address = IPv4Address(text)
    except ValueError as error:
        raise BadCatalogue(f"{name}: {text} is not an address") from error
    if not address.is_loopback or address in REFUSALS:
        raise BadCatalogue(f"{name}: {text} cannot be the answer of a list (RFC 5782 section 2.1)")
    return address
