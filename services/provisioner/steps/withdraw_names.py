"""The end begins with the names: nothing may lead to an address that somebody else will get."""

from __future__ import annotations

import contextlib

from services.provisioner.models import Address
from services.provisioner.ports import CloudNotFound
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps import names
from services.provisioner.steps.base import Step
from services.provisioner.steps.reverse_names import cloud_ip
from shared.crashpoint import crashpoint

LOOK_SECONDS = 2.0


class WithdrawNames(Step):
    name = "withdraw_names"
    title = "Withdraw all DNS records"
    condition = "NamesWithdrawn"
    deadline = 600.0

    async def run(self, work: Work) -> Outcome:
        server = work.server
        if server.names_generation == 0:
            return Done("No name was ever published")
        if server.names_digest != names.WITHDRAWN:
            await names.withdraw(work)
            return Wait(0, "Withdrawing")
        if not (server.names_withdrawn and names.forward_verified(server)):
            return Wait(LOOK_SECONDS, "AwaitingWithdrawal", "Waiting until no name server shows our records.")
        return Done("Our records are gone, foreign ones were not touched")


class ResetReverse(Step):
    """One address a pass."""

    name = "reset_reverse"
    title = "Reset the reverse names"
    condition = "RdnsReset"
    needs = ("withdraw_names",)

    async def run(self, work: Work) -> Outcome:
        rows = [row for row in work.known.addresses if row.reverse is not None and row.state != "released"]
        if not rows:
            return Done("No reverse name of ours is left")
        row = rows[0]
        with contextlib.suppress(CloudNotFound):  # an address that is gone has no name either
            await work.ports.cloud.set_reverse(work.server.zone, cloud_ip(work, row), row.address, None)
        crashpoint("reset_reverse.after")
        async with work.write() as write:
            (await write.session.get_one(Address, row.id)).reverse = None
        return Wait(0, "ReverseReset")
