"""Domains that leave: off the host first, then out of DNS, then off the books."""

from __future__ import annotations

from sqlalchemy import delete

from services.provisioner.models import Domain
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps import names
from services.provisioner.steps.base import Step

LOOK_SECONDS = 2.0


class RemoveDomains(Step):
    """Needs the host to have applied the wish without them, and the names without them to be announced."""

    name = "remove_domains"
    title = "Remove domains"
    condition = "DomainsRemoved"
    needs = ("apply_host",)
    deadline = 600.0

    def satisfied(self, work: Work) -> bool:
        return not any(row.state == "removing" for row in work.known.domains)

    async def run(self, work: Work) -> Outcome:
        if not names.is_published(work):
            await names.publish(work)
            return Wait(0, "Withdrawing", "The domain's records are being withdrawn.")
        if work.server.names_seen_generation < work.server.names_generation:
            return Wait(LOOK_SECONDS, "AwaitingWithdrawal", "Waiting until the domain's records are gone.")
        leaving = [row for row in work.known.domains if row.state == "removing"]
        async with work.write() as write:
            for row in leaving:
                await write.session.execute(delete(Domain).where(Domain.id == row.id))
                write.log("remove_domain", "ok", subject_id=row.id, message=f"{row.name} is gone")
        return Done(f"{len(leaving)} domains removed")
