"""A plan in words: what is stored, and shown, of a computed plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.dns.conflicts import Conflict
from services.dns.planner import Plan
from services.dns.records.model import ActualRecord, DesiredRecord, presentation, quote_strings
from services.dns.safety import MANY_DELETES, Limits, UnsafePlan, check_deletes

FOREIGN_SHOWN = 200


def content_of(plan: Plan, limits: Limits) -> dict[str, Any]:
    """JSON for `RecordPlan.content`. Records are in the form that one would type into a zone file."""
    touched = {update.actual.id for update in plan.updates}
    kept = {item.actual.id for item in plan.unchanged if item.ours}
    foreign = [item for item in plan.foreign if item.id not in touched and item.id not in kept]
    return {
        "creates": [_wanted(item.record) for item in plan.creates],
        "updates": [
            {
                **(_wanted(item.record) if item.record else _present(item.actual)),
                "value": _text(item.actual.type, item.value),
                "before": _text(item.actual.type, item.actual.value),
                "explanation": _why(item.record, item.merged),
            }
            for item in plan.updates
        ],
        "deletes": [
            {**_present(item.actual), "explanation": "It is ours and no longer needed."}
            for item in plan.deletes
        ],
        "unchanged": [{**_wanted(item.record), "ours": item.ours} for item in plan.unchanged],
        "conflicts": [_conflict(item) for item in plan.conflicts] + _brake(plan, limits),
        "foreign": [
            {**_present(item), "explanation": "It is not ours and stays as it is."}
            for item in foreign[:FOREIGN_SHOWN]
        ],
        "foreign_total": len(foreign),
    }


def acceptable(content: Mapping[str, Any]) -> set[str]:
    return {item["id"] for item in content.get("conflicts", ()) if item["acceptable"]}


def _wanted(record: DesiredRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "type": record.type,
        "value": presentation(record),
        "purpose": record.purpose,
        "rule": record.rule,
        "explanation": record.explanation,
        "domain_id": record.domain_id,
        "server_id": record.server_id,
    }


def _present(record: ActualRecord) -> dict[str, Any]:
    return {"name": record.name, "type": record.type, "value": _text(record.type, record.value)}


def _text(kind: str, value: str) -> str:
    return quote_strings(value) if kind == "TXT" else value


def _why(record: DesiredRecord | None, merged: bool) -> str:
    if record is None:
        return "Our mail server is taken out of the SPF record; everything else in it stays."
    if merged:
        return "Our mail server is added to the SPF record; everything else in it stays."
    return record.explanation


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "id": conflict.id,
        "kind": conflict.kind,
        "name": conflict.record.name,
        "type": conflict.record.type,
        "value": presentation(conflict.record),
        "present": list(conflict.present),
        "proposed": None if conflict.proposed is None else _text(conflict.record.type, conflict.proposed),
        "explanation": conflict.explanation,
        "next_action": conflict.next_action,
        "acceptable": conflict.acceptable,
        "required": conflict.record.required,
        "domain_id": conflict.record.domain_id,
    }


def _brake(plan: Plan, limits: Limits) -> list[dict[str, Any]]:
    """A plan that deletes much has to be accepted as such."""
    try:
        check_deletes(plan, limits)
    except UnsafePlan as error:
        return [
            {
                "id": MANY_DELETES, "kind": MANY_DELETES, "name": "", "type": "", "value": "", "present": [],
                "proposed": None, "explanation": str(error), "acceptable": True, "required": False, "domain_id": None,
                "next_action": "Look at the deletions, and accept this if they are wanted.",
            }
        ]  # fmt: skip
    return []
