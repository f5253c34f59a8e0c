"""The hosts' self-test as the port that the steps know, aimed by this worker's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.resolver

from services.provisioner.hosts.desired import HostDesired, HostFacts
from services.provisioner.hosts.port import HostAddress, HostPort
from services.provisioner.hosts.self_test import SelfTestTarget, run_self_test
from services.provisioner.ports import TestRow
from shared.clock import Clock


@dataclass(frozen=True)
class SelfTests:
    """A `SelfTestPort`. `resolvers` must validate; without any the system's are asked."""

    host: HostPort
    clock: Clock
    egress_target: tuple[str, int]
    resolvers: tuple[str, ...]
    ca_file: Path | None
    reverse_signed: bool

    async def run(
        self,
        *,
        server_id: str,
        hostname: str,
        ipv4: str,
        ipv6: str,
        host: HostAddress,
        facts: Mapping[str, Any],
    ) -> list[TestRow]:
        reports = HostDesired.reports_of(hostname)
        rows = await run_self_test(
            SelfTestTarget(
                host=host,
                hostname=hostname,
                ipv4=ipv4,
                ipv6=ipv6,
                facts=HostFacts.model_validate(facts),
                port=self.host,
                resolvers=self.resolvers or _system_resolvers(),
                egress_target=self.egress_target,
                clock=self.clock,
                report_addresses=(reports.address, *reports.aliases),
                ca_file=self.ca_file,
                reverse_signed=self.reverse_signed,
            )
        )
        return [
            TestRow(id=row.id, layer=row.layer, title=row.words, ok=row.ok, evidence=row.evidence)
            for row in rows
        ]


def _system_resolvers() -> tuple[str, ...]:
    return tuple(str(server) for server in dns.resolver.Resolver().nameservers)
