"""Brakes between a plan and a zone. Each raises `UnsafePlan`; nothing has been changed then."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from services.dns.planner import Plan
from services.dns.ports import Batch


class UnsafePlan(Exception):
    """`code` is stable, the message is for the zone's owner."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """`deletes` records may always be removed at once, and above that the share `delete_share` of what is ours."""

    deletes: int = 10
    delete_share: float = 0.3
    batch: int = 200
    """Operations in one atomic call: what the provider's smallest plan allows."""


MANY_DELETES = "many_deletes"


def check_deletes(plan: Plan, limits: Limits, *, accepted: Collection[str] = ()) -> None:
    """A plan that would remove much of what is ours is more often a mistake than a wish."""
    ours = len(plan.deletes) + len(plan.updates) + sum(item.ours for item in plan.unchanged)
    allowed = max(limits.deletes, int(ours * limits.delete_share))
    if len(plan.deletes) > allowed and MANY_DELETES not in accepted:
        raise UnsafePlan(
            MANY_DELETES,
            f"The plan would delete {len(plan.deletes)} of {ours} records; more than {allowed} needs to be accepted.",
        )


def check_batch(
    batch: Batch, *, owned_ids: Collection[str], mergeable_ids: Collection[str], limits: Limits
) -> None:
    """Only what is ours is deleted or overwritten, apart from SPF records whose merge was accepted, and the whole
    fits into one atomic call."""
    if len(batch) > limits.batch:
        raise UnsafePlan(
            "too_large", f"{len(batch)} changes do not fit into one atomic call of {limits.batch}."
        )
    touched = [*batch.deletes, *(identifier for identifier, _ in batch.patches)]
    if len(set(touched)) != len(touched):
        raise UnsafePlan("contradiction", "One record would be changed twice.")
    strangers = [item for item in batch.deletes if item not in owned_ids]
    strangers += [item for item, _ in batch.patches if item not in owned_ids and item not in mergeable_ids]
    if strangers:
        raise UnsafePlan("foreign", f"{len(strangers)} records that are not ours would be changed.")
    for identifier, write in batch.patches:
        if identifier not in owned_ids and (write.type != "TXT" or write.comment is not None):
            raise UnsafePlan("foreign", "A foreign record would be taken over.")
