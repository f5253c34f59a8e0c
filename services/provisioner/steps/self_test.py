"""The server is probed from outside, row by row. One row that fails and the server is not Ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.provisioner.ports import TestRow
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.host_facts import facts_now

PROOFS = {"egress_25_postfix": "the mail server reaches port 25 of another mail server"}
"""Rows that have to be there by name, whatever else the run has: without them nobody has tried."""
LAYERS = ("encryption", "authentication", "dns", "hardening", "compliance")


class SelfTest(Step):
    name = "self_test"
    title = "Test the server from outside"
    condition = "SmtpVerified"
    needs = (
        "certificates",
        "publish_names",
        "reverse_names",
        "webmail_key",
        "forget_user_data",
        "own_system",
    )
    deadline = 300.0
    recheck = True
    guards_ready = True

    async def run(self, work: Work) -> Outcome:
        server = work.server
        # What was written down may be from a moment when not everything was up yet, as after a reboot.
        facts = await facts_now(work)
        rows = await work.ports.self_test.run(
            server_id=server.id,
            hostname=server.hostname,
            ipv4=work.address(4),
            ipv6=work.address(6),
            host=work.host_address(),
            facts=facts.model_dump(mode="json"),
        )
        found = {"rows": [row.model_dump(mode="json") for row in rows]}
        failed = [row for row in rows if not row.ok]
        missing = [layer for layer in LAYERS if layer not in {row.layer for row in rows}]
        missing += [words for key, words in PROOFS.items() if key not in {row.id for row in rows}]
        if failed or missing:
            return Retry("self_test", _said(failed, missing), _said(failed, missing), evidence=found)
        return Done(f"{len(rows)} checks passed", found)


def _said(failed: Sequence[TestRow], missing: Sequence[str]) -> str:
    parts = [row.title or row.id for row in failed]
    parts += [f"no evidence for: {what}" for what in missing]
    return "Failed: " + "; ".join(parts)


def rows_of(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the last run, from the condition's evidence."""
    rows = evidence.get("rows", [])
    return list(rows) if isinstance(rows, list) else []
