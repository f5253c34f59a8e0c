"""From rows to what the API shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.provisioner.models import Address, Condition, Server
from services.provisioner.reconciler.plan import PRESENT
from services.provisioner.servers.schemas import (
    AddressView,
    ConditionView,
    EvidenceView,
    ServerDetail,
    ServerState,
    ServerView,
)
from services.provisioner.steps.self_test import LAYERS, rows_of
from services.provisioner.steps.ssh_trust import fingerprint

STEP_OF = {step.condition: step.name for step in PRESENT}
BY_ORDER: dict[str, ServerState] = {
    "Restarting": "restarting",
    "Rescue": "rescue",
    "Rebuilding": "rebuilding",
}
TITLE_OF = {step.condition: step.title for step in PRESENT}


def state_of(server: Server, conditions: Mapping[str, Condition]) -> tuple[ServerState, str]:
    """One word, and one sentence."""
    stalled = conditions.get("Stalled")
    if stalled is not None and stalled.status == "true":
        return "cancelling" if server.desired == "absent" else "stalled", stalled.message
    if server.desired == "absent":
        return "cancelling", "The server is being removed."
    ready = conditions.get("Ready")
    if ready is not None and ready.status == "true":
        return "ready", "The server is ready."
    if ready is not None and ready.reason in BY_ORDER:
        return BY_ORDER[ready.reason], ready.message
    if server.ever_ready:
        return "degraded", ready.message if ready is not None else ""
    return "provisioning", "The server is being set up."


def summary(server: Server, conditions: Mapping[str, Condition], addresses: Sequence[Address]) -> ServerView:
    return ServerView.model_validate(_common(server, conditions, addresses))


def _common(
    server: Server, conditions: Mapping[str, Condition], addresses: Sequence[Address]
) -> dict[str, Any]:
    state, message = state_of(server, conditions)
    return {
        "id": server.id,
        "subscription_id": server.subscription_id,
        "plan": server.plan,
        "zone": server.zone,
        "hostname": server.hostname,
        "state": state,
        "message": message,
        "ipv4": _in_use(addresses, 4),
        "ipv6": _in_use(addresses, 6),
        "generation": server.generation,
        "observed_generation": server.observed_generation,
        "created_at": server.created_at,
        "ready_at": server.ready_at,
    }


def _in_use(addresses: Sequence[Address], family: int) -> str | None:
    """The address that the server has, once the blacklists have let it pass."""
    found = [row.address for row in addresses if row.family == family and row.state in ("clean", "live")]
    return found[-1] if found else None


def detail(server: Server, conditions: Mapping[str, Condition], addresses: Sequence[Address]) -> ServerDetail:
    own = server.host_key if server.host_key_own else None
    return ServerDetail.model_validate(
        {
            **_common(server, conditions, addresses),
            "conditions": [_condition(row) for row in sorted(conditions.values(), key=lambda row: row.type)],
            "addresses": [_address(row) for row in addresses],
            "ssh_host_key_sha256": fingerprint(own) if own else None,
            "bundle_version": server.bundle_version,
            "records": server.names_records,
            "evidence": _evidence(conditions),
        }
    )


def _condition(row: Condition) -> ConditionView:
    return ConditionView.model_validate(
        {
            "type": row.type,
            "status": row.status,
            "reason": row.reason,
            "message": row.message,
            "last_transition_at": row.last_transition_at,
        }
    )


def _address(row: Address) -> AddressView:
    return AddressView.model_validate(
        {
            "id": row.id,
            "address": row.address,
            "family": row.family,
            "attempt": row.attempt,
            "state": row.state,
            "verdict": row.verdict,
            "listings": row.listings,
            "clean": row.clean,
            "unknown": row.unknown,
            "reverse_name": row.reverse,
            "checked_at": row.checked_at,
            "released_at": row.released_at,
        }
    )


def _evidence(conditions: Mapping[str, Condition]) -> EvidenceView:
    tested = conditions.get("SmtpVerified")
    rows = rows_of(tested.evidence) if tested is not None else []
    layers = {name: {"passed": 0, "failed": 0} for name in LAYERS}
    for row in rows:
        counts = layers.setdefault(str(row.get("layer")), {"passed": 0, "failed": 0})
        counts["passed" if row.get("ok") else "failed"] += 1
    return EvidenceView(
        self_test=rows,
        layers=layers,
        tested_at=tested.last_transition_at if tested is not None and rows else None,
        steps={
            STEP_OF[kind]: row.evidence
            for kind, row in conditions.items()
            if kind in STEP_OF and kind != "SmtpVerified" and row.evidence
        },
    )
