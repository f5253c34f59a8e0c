"""What the host says of itself, written down; which passwords signed in since it was last asked is told by the way."""

from __future__ import annotations

from typing import Any

from services.provisioner.hosts.desired import HostFacts
from services.provisioner.reconciler.work import Work, Write
from shared.contracts.provisioner_events import MailboxPasswordsUsed, UsedPassword


async def facts_now(work: Work) -> HostFacts:
    """Asks the host, and writes down what has changed."""
    facts = await work.ports.host.facts(work.host_address())
    if facts.model_dump(mode="json") != work.server.facts:
        async with work.write() as write:
            await keep_facts(write, facts)
    return facts


async def keep_facts(write: Write, facts: HostFacts) -> None:
    """Writes down what the host said of itself, and tells what it says newly of its mailboxes' passwords."""
    said = facts.model_dump(mode="json")
    known = _uses(write.server.facts or {})
    for mailbox_id, uses in _uses(said).items():
        fresh = [use for use in uses if use not in known.get(mailbox_id, [])]
        if fresh:
            event = MailboxPasswordsUsed(
                workspace_id=write.server.workspace_id,
                mailbox_id=mailbox_id,
                used=[UsedPassword.model_validate(use) for use in fresh],
            )
            await write.held.emit(event, subject=mailbox_id, version=facts.generation)
    write.server.facts = said


def _uses(facts: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By mailbox; facts of an older host have none."""
    return {box["mailbox_id"]: box.get("used", []) for box in facts.get("mailboxes", [])}
