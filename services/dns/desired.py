"""From the facts that ask for names to the records that are wanted, zone by zone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from services.dns.models import Nameset, Zone
from services.dns.names import BadName, domain_name, is_within
from services.dns.records.model import DesiredRecord
from services.dns.records.sets import domain_records, host_records, reverse_records
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.special_use import parse_networks, refused, special_use


@dataclass(frozen=True, slots=True)
class NameRules:
    """What may be published at all."""

    platform_zone: str
    special_use_names: tuple[str, ...]
    refused_networks: tuple[str, ...]
    caa_issuers: tuple[str, ...]


def problem_with(wanted: ServerDnsDesired, rules: NameRules) -> str | None:
    """Why none of this is published, or None. The fact comes from a service of ours, and is checked all the same."""
    if not is_within(wanted.hostname, rules.platform_zone) or wanted.hostname == rules.platform_zone:
        return f"{wanted.hostname} does not lie in the platform's zone."
    networks = parse_networks(rules.refused_networks)
    for address in (wanted.ipv4, wanted.ipv6):
        try:
            if address is not None and refused(ipaddress.ip_address(address), networks):
                return f"{address} is not a public address."
        except ValueError:
            return f"{address} is not an address."
    for domain in wanted.domains:
        if (problem := domain_problem(domain.name, rules.special_use_names, rules.platform_zone)) is not None:
            return f"{domain.name}: {problem}"
    return _malformed(wanted, rules)


def _malformed(wanted: ServerDnsDesired, rules: NameRules) -> str | None:
    try:
        host_records(wanted, rules.caa_issuers)
        reverse_records(wanted)
        for domain in wanted.domains:
            domain_records(wanted.server_id, wanted.hostname, domain)
    except ValueError as error:
        return str(error)
    return None


def domain_problem(name: str, special_use_names: Sequence[str], platform_zone: str) -> str | None:
    """Why a customer cannot use this name, or None."""
    try:
        if domain_name(name) != name:
            return "The name is not in canonical form."
    except BadName as error:
        return str(error)
    special = special_use(name, special_use_names)
    if special is not None:
        return f"Names under {special} are reserved and not delegated to anybody."
    if is_within(name, platform_zone) or is_within(platform_zone, name):
        return "This name belongs to the mail platform."
    return None


def best_zone(domain: str, zones: Sequence[Zone]) -> Zone | None:
    """The proven zone that holds `domain`: the one with the longest name."""
    holding = [zone for zone in zones if zone.state == "proven" and is_within(domain, zone.name)]
    return max(holding, key=lambda zone: len(zone.name), default=None)


def wanted_of(nameset: Nameset) -> ServerDnsDesired:
    return ServerDnsDesired.model_validate(nameset.desired)


def zone_desired(zone: Zone, zones: Sequence[Zone], namesets: Sequence[Nameset]) -> list[DesiredRecord]:
    """All records that a workspace's servers want in one of its zones. `zones` and `namesets` are the workspace's."""
    records: list[DesiredRecord] = []
    for nameset in namesets:
        if nameset.withdrawn or nameset.gone or nameset.problem is not None:
            continue
        wanted = wanted_of(nameset)
        for domain in wanted.domains:
            best = best_zone(domain.name, zones)
            if best is not None and best.id == zone.id:
                records += domain_records(wanted.server_id, wanted.hostname, domain)
    return records
