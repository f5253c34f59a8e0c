"""Rows that only the host can answer, by its probe."""

from __future__ import annotations

from services.provisioner.hosts.self_test.checks import CheckResult, Layer, SelfTestTarget

_ROWS: tuple[tuple[str, Layer, str], ...] = (
    ("services", "compliance", "Every service of a mail host is running."),
    ("system", "hardening", "The system is in order: no unit has failed."),
    (
        "firewall",
        "hardening",
        "The firewall's input policy is drop, and SSH is open to the control plane alone.",
    ),
    ("egress_rule", "hardening", "A rule keeps port 25 outwards for the mail server alone."),
    ("egress_25_postfix", "compliance", "The mail server reaches port 25 of another mail server."),
    ("egress_25_others", "hardening", "No other user of the host reaches port 25 outwards."),
    ("updates", "hardening", "Security updates install themselves."),
    ("resolver", "dns", "The host asks only its own validating resolver."),
)


async def inside(target: SelfTestTarget) -> list[CheckResult]:
    """A check that the host did not answer is not passed."""
    probed = await target.port.probe(target.host, target.egress_target)
    rows = []
    for check_id, layer, words in _ROWS:
        check = probed.check(check_id)
        evidence = check.evidence if check is not None else "the host did not answer this check"
        ok = check is not None and check.ok
        rows.append(CheckResult(id=check_id, layer=layer, ok=ok, evidence=evidence, words=words))
    return rows
