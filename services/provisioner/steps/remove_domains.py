"""Domains that leave: off the host, out of DNS, and then off the books."""

from __future__ import annotations

from services.provisioner.models import Domain
from services.provisioner.reconciler.outcomes import Done, Outcome
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step


class RemoveDomains(Step):
    """Needs the host to have applied the wish without them, and the names without them to be visible."""

    name = "remove_domains"
    title = "Remove domains"
    condition = "DomainsRemoved"
    needs = ("publish_names", "apply_host")
    deadline = 600.0

    def satisfied(self, work: Work) -> bool:
        return not any(row.state == "removing" for row in work.known.domains)

    async def run(self, work: Work) -> Outcome:
        leaving = [row for row in work.known.domains if row.state == "removing"]
        async with work.write() as write:
            for row in leaving:
                await write.session.delete(await write.session.get_one(Domain, row.id))
                write.log("remove_domain", "ok", subject_id=row.id, message=f"{row.name} is gone")
        return Done(f"{len(leaving)} domains removed")
