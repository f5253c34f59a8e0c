"""Rows that only the host can answer, by its probe."""

from __future__ import annotations

from services.provisioner.hosts.self_test.checks import CheckResult, SelfTestTarget
from services.provisioner.hosts.self_test.rows import row

CHECKS = (
    "services",
    "system",
    "firewall",
    "egress_rule",
    "egress_25_postfix",
    "egress_25_others",
    "updates",
    "resolver",
)


async def inside(target: SelfTestTarget) -> list[CheckResult]:
    """A check that the host did not answer is not passed."""
    probed = await target.port.probe(target.host, target.egress_target)
    rows = []
    for check_id in CHECKS:
        check = probed.check(check_id)
        evidence = check.evidence if check is not None else "the host did not answer this check"
        rows.append(row(check_id, ok=check is not None and check.ok, evidence=evidence))
    return rows
