"""From a plan to one atomic batch, and to the intent that is kept until its outcome is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from services.dns.models import WriteIntent
from services.dns.planner import Plan
from services.dns.ports import Batch, RecordWrite
from services.dns.records import spf
from services.dns.records.model import ActualRecord, Owned


@dataclass(frozen=True, slots=True)
class Intended:
    """One record of an intent. `record_id` is known for overwritten and deleted ones; `action` says what happens to
    our row: `own` it with this content, or `drop` it."""

    action: str
    record_id: str | None
    name: str
    type: str
    value: str
    comment: str
    purpose: str
    server_id: str
    domain_id: str | None
    merged: bool
    host: str


def batch_of(plan: Plan, nonce: str) -> tuple[Batch, list[Intended]]:
    """The changes of a plan as the provider takes them, and what our rows are to be once they took effect."""
    patches: list[tuple[str, RecordWrite]] = []
    posts: list[RecordWrite] = []
    records: list[Intended] = []
    for create in plan.creates:
        comment = f"{create.record.mark}:{nonce}"
        wanted = create.record
        posts.append(RecordWrite(wanted.name, wanted.type, wanted.value, wanted.ttl, comment))
        records.append(
            Intended(
                "own", None, wanted.name, wanted.type, wanted.value, comment, wanted.purpose, wanted.server_id,
                wanted.domain_id, False, "",
            )
        )  # fmt: skip
    for change in plan.updates:
        record = change.record
        mark = None if change.merged or record is None else f"{record.mark}:{nonce}"
        ttl = change.actual.ttl if change.merged or record is None else record.ttl
        patches.append((change.actual.id, RecordWrite(*change.actual.key, change.value, ttl, mark)))
        if record is not None:
            host = spf.terms(record.value)[0].argument if change.merged else ""
            records.append(
                Intended(
                    "own", change.actual.id, *change.actual.key, change.value, mark or "", record.purpose,
                    record.server_id, record.domain_id, change.merged, host,
                )
            )  # fmt: skip
        for owned in change.taken_out:
            records.append(_dropped(change.actual.id, owned))
    for removal in plan.deletes:
        records.append(_dropped(removal.actual.id, removal.owned))
    deletes = tuple(removal.actual.id for removal in plan.deletes)
    return Batch(deletes, tuple(patches), tuple(posts)), records


def _dropped(record_id: str, owned: Owned) -> Intended:
    return Intended(
        "drop", record_id, owned.name, owned.type, owned.value, owned.comment, owned.purpose, owned.server_id,
        owned.domain_id, owned.merged, "",
    )  # fmt: skip


def is_intended(actual: ActualRecord, record: Intended) -> bool:
    """Whether this is the record that the intent meant to write: by its comment, or for a merge by its id."""
    if (actual.name, actual.type, actual.value) != (record.name, record.type, record.value):
        return False
    return actual.id == record.record_id if record.merged else actual.comment == record.comment


def intended_records(intent: WriteIntent) -> list[Intended]:
    return [Intended(**record) for record in intent.records]
