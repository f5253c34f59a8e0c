"""No server is started behind an address that a blacklist refuses. The verdict comes as an event.

An unanswered question is asked again; a verdict of `unknown` is not a yes.
"""

from __future__ import annotations

from typing import Any

from services.provisioner.models import Address
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.reserve_addresses import FAMILIES, ask_reputation

ASK_AGAIN_SECONDS = 15.0
LOOK_SECONDS = 2.0


class CheckReputation(Step):
    name = "check_reputation"
    title = "Check the addresses on blacklists"
    condition = "ReputationClean"
    needs = ("reserve_addresses",)
    deadline = 120.0

    def satisfied(self, work: Work) -> bool:
        return super().satisfied(work) and all(
            row is not None and row.state in ("clean", "live") for row in map(work.candidate, FAMILIES)
        )

    async def run(self, work: Work) -> Outcome:
        rows = [work.chosen(family) for family in FAMILIES]
        waiting = [row for row in rows if row.state == "checking"]
        for row in waiting:
            if (work.now() - row.asked_at).total_seconds() > ASK_AGAIN_SECONDS:
                await self._ask_again(work, row)
        if waiting:
            return Wait(
                LOOK_SECONDS,
                "Checking",
                f"Asking the blacklists about {', '.join(row.address for row in waiting)}.",
            )
        return Done(
            f"{' and '.join(row.address for row in rows)}: on no blacklist that counts",
            {"addresses": [seen(row) for row in work.known.addresses]},
        )

    async def _ask_again(self, work: Work, row: Address) -> None:
        async with work.write() as write:
            stored = await write.session.get_one(Address, row.id)
            stored.version += 1
            stored.asked_at = write.now
            await ask_reputation(write, stored)


def seen(row: Address) -> dict[str, Any]:
    """One address and what is known of it, as evidence."""
    return {
        "address": row.address,
        "family": row.family,
        "state": row.state,
        "listings": row.listings,
        "clean": row.clean,
        "unknown": row.unknown,
    }
