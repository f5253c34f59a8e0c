"""PTR of both addresses. The cloud refuses the IPv4's until its resolver sees the A record, and says yes to the
IPv6's whether or not it took, so that one is read again; the dns service then verifies both in DNS itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from services.provisioner.models import Address
from services.provisioner.ports import CloudIp, CloudRefused
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step

LOOK_SECONDS = 1.0
# The cloud takes its time, and may begin anew whenever it is asked: it is asked again only after a while.
ASK_AGAIN = timedelta(seconds=10)


class ReverseNames(Step):
    name = "reverse_names"
    title = "Set the reverse names"
    condition = "RdnsSet"
    needs = ("publish_addresses", "leave_zone")
    deadline = 300.0

    async def run(self, work: Work) -> Outcome:
        if not work.server.names_forward:
            return Wait(LOOK_SECONDS, "AwaitingForward", "Waiting until the name leads to the addresses.")
        rows = [row for row in map(work.candidate, (4, 6)) if row is not None]
        for row in rows:
            if row.reverse != work.server.hostname:
                return await self._set(work, row)
        if not work.server.names_reverse:
            return Wait(LOOK_SECONDS, "VerifyingReverse", "Waiting until the reverse names are visible.")
        return Done(
            f"{' and '.join(row.address for row in rows)} lead back to {work.server.hostname}",
            {row.address: row.reverse for row in rows},
        )

    async def _set(self, work: Work, row: Address) -> Outcome:
        cloud, zone, hostname = work.ports.cloud, work.server.zone, work.server.hostname
        ip = cloud_ip(work, row)
        since = self._asked(work, row)
        if since is not None:  # a name that was never asked for is not there to be looked at
            if await cloud.reverse_of(zone, ip, row.address) == hostname:
                async with work.write() as write:
                    stored = await write.session.get_one(Address, row.id)
                    stored.reverse = hostname
                return Wait(0, f"ReverseV{row.family}Set", evidence={"asked": {}})
            if work.now() - since < ASK_AGAIN:
                return _asking(row, since)
        try:
            await cloud.set_reverse(zone, ip, row.address, hostname)
        except CloudRefused as error:
            if error.argument != "reverse":
                raise
            return Retry(
                "not_resolving_yet",
                error.detail,
                "The data centre does not see the new name yet.",
                after=LOOK_SECONDS,
            )
        return _asking(row, work.now())

    def _asked(self, work: Work, row: Address) -> datetime | None:
        """When the cloud was asked for this address's name: kept with the condition, so that any worker knows."""
        condition = work.condition(self.condition)
        asked = {} if condition is None else condition.evidence.get("asked", {})
        return datetime.fromisoformat(asked[row.address]) if row.address in asked else None


def _asking(row: Address, since: datetime) -> Wait:
    return Wait(
        0.2,
        f"ReverseV{row.family}Asked",
        "The data centre is setting the reverse name.",
        {"asked": {row.address: since.isoformat()}},
    )


def cloud_ip(work: Work, row: Address) -> CloudIp:
    """The address as the cloud port takes it."""
    resource = next(one for one in work.known.resources if one.id == row.resource_id)
    return CloudIp.model_validate({**resource.details, "id": resource.external_id, "family": row.family})
