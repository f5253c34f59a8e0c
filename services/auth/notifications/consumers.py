"""Events that people of a workspace get a mail about, as `kinds.py` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.auth.notifications import repository
from services.auth.notifications.kinds import KINDS, Kind, Person
from services.auth.wiring import WorkerResources
from shared.bus.binding import Binding, HandlerContext
from shared.contracts.audit import AuditRecorded
from shared.contracts.auth_events import AuthAuditRecorded
from shared.contracts.dns_events import DnsAuditRecorded
from shared.contracts.envelope import EventData
from shared.contracts.provisioner_events import ProvisionerAuditRecorded
from shared.contracts.reputation_events import ReputationAuditRecorded
from shared.contracts.vault_events import VaultAuditRecorded

QUEUE = "auth.notifications"
AUDITS: tuple[type[AuditRecorded], ...] = (
    AuthAuditRecorded,
    DnsAuditRecorded,
    ProvisionerAuditRecorded,
    ReputationAuditRecorded,
    VaultAuditRecorded,
)


async def on_fact(context: HandlerContext, event: EventData) -> None:
    data = event.model_dump(mode="json")
    for kind in KINDS:
        for fact in kind.on:
            if isinstance(event, fact.event) and fact.when(data):
                await _tell(context, kind, data[fact.about], data["workspace_id"], data, {})


async def on_audit(context: HandlerContext, event: AuditRecorded) -> None:
    if event.outcome != "ok":
        return
    persons: dict[Person, str | None] = {
        "actor": event.actor_id if event.actor_kind == "user" else None,
        "subject": event.data.get("account_id"),
    }
    data = {
        **event.data,
        "target": event.target,
        "actor_kind": event.actor_kind,
        "actor_id": event.actor_id,
        "reason": event.reason,
        "at": event.at.isoformat(),
    }
    for kind in KINDS:
        if event.action in kind.on_audit:
            await _tell(context, kind, event.target, event.workspace_id, data, persons)


async def _tell(
    context: HandlerContext,
    kind: Kind,
    reference: str,
    workspace_id: str,
    data: dict[str, Any],
    persons: Mapping[Person, str | None],
) -> None:
    """One mail to each person that the kind is for: members by their role, and those whom the event itself names."""
    resources: WorkerResources = context.resources
    now = resources.clock.now()
    members = set(await repository.members_with_role(context.session, workspace_id, kind.to))
    others = {person for role, person in persons.items() if person and role in kind.to} - members
    for account_id in sorted(members | others):
        await repository.enqueue_collapsed(
            context.session,
            kind,
            reference,
            now=now,
            account_id=account_id,
            data={**data, "workspace_id": workspace_id, "as_member": account_id in members},
        )


FACTS = tuple(dict.fromkeys(fact.event for kind in KINDS for fact in kind.on))
BINDINGS: tuple[Binding, ...] = (
    *(Binding(QUEUE, event, on_fact) for event in FACTS),
    *(Binding(QUEUE, event, on_audit) for event in AUDITS),
)
