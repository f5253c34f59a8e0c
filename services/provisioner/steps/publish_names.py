"""Names first, before anything relies on them: the addresses early, the whole set when the host's keys are known."""

from __future__ import annotations

from typing import Any

from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps import names
from services.provisioner.steps.base import Step

LOOK_SECONDS = 2.0


class PublishAddresses(Step):
    """A and AAAA need no server. Known early, they let PTR and certificate follow without a wait."""

    name = "publish_addresses"
    title = "Publish the server's name"
    condition = "NamesAnnounced"
    needs = ("check_reputation", "leave_zone")

    async def run(self, work: Work) -> Outcome:
        if not names.is_published(work):
            await names.publish(work)
        return Done(f"{work.server.hostname} is being published", {"hostname": work.server.hostname})


class PublishNames(Step):
    name = "publish_names"
    title = "Publish and verify all names"
    condition = "DnsPublished"
    needs = ("install", "publish_addresses")
    deadline = 300.0

    def satisfied(self, work: Work) -> bool:
        return super().satisfied(work) and names.is_published(work) and names.forward_verified(work.server)

    async def run(self, work: Work) -> Outcome:
        if not names.is_published(work):
            await names.publish(work)
            return Wait(0, "Published")
        if not names.forward_verified(work.server):
            return Wait(LOOK_SECONDS, "Verifying", "Waiting until every name server shows the new records.")
        return Done(
            "The server's names are visible and signed", {"records": shown(work.server.names_records)}
        )


def shown(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Record states, as evidence."""
    return [{key: row.get(key) for key in ("name", "type", "state", "dnssec")} for row in records]
