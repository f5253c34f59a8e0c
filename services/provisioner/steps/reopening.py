"""Conditions that have to be found true anew, because somebody ordered what makes them doubtful."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.provisioner.models import Condition
from services.provisioner.reconciler.work import Write


async def reopen(write: Write, conditions: Iterable[str]) -> None:
    """Their steps are run again, and told as begun."""
    for name in conditions:
        condition = await write.session.get(Condition, (write.server.id, name))
        if condition is not None:
            condition.status, condition.reason, condition.message = "unknown", "Reopened", ""
            condition.last_transition_at = write.now
            condition.due_at, condition.failures, condition.evidence = None, 0, {}


async def pause_ready(write: Write, reason: str, message: str, evidence: dict[str, Any]) -> None:
    """The server is not Ready, by order: nobody is alarmed."""
    ready = await write.session.get(Condition, (write.server.id, "Ready"))
    if ready is not None:
        if ready.status != "false":
            ready.last_transition_at = write.now
        ready.status, ready.reason, ready.message = "false", reason, message
        ready.evidence = evidence
