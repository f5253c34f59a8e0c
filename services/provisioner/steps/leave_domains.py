"""Domains that go to another server: closed when its turn comes, and forgotten when nobody looks for them here.

The mail stays on the disk until then. What senders with an old answer from DNS bring meanwhile is put off, not refused.
"""

from __future__ import annotations

from datetime import timedelta

from services.provisioner.models import Domain
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint

LOOK_SECONDS = 1.0


class LeaveDomains(Step):
    name = "leave_domains"
    title = "Hand domains over to another server"
    condition = "DomainsLeft"
    needs = ("apply_host", "own_system")
    deadline = 1800.0

    def satisfied(self, work: Work) -> bool:
        return self.at_rest(work) and self._next(work) is None

    def _next(self, work: Work) -> Domain | None:
        return next((row for row in work.known.leaving if self._due(work, row)), None)

    @staticmethod
    def _due(work: Work, row: Domain) -> bool:
        if row.move_phase == "leaving":
            hold = timedelta(seconds=work.settings.move_hold_seconds)
            return row.opened_at is not None and row.opened_at + hold <= work.now()
        return row.move_phase in ("closing", "forgetting")

    async def run(self, work: Work) -> Outcome:
        row = self._next(work)
        if row is None:
            return Done("Nothing is to be done here now")
        if row.move_phase == "leaving":
            await self._wish(work, row, "leaving", "forgetting")
            return Wait(0, "Forgetting")
        if row.move_phase == "forgetting":
            return await self._forget(work, row)
        if row.move_generation is None:
            return await self._begin_closing(work, row)
        return await self._closed(work, row)

    async def _begin_closing(self, work: Work, row: Domain) -> Outcome:
        """What was ordered of its mailboxes before is carried out here first."""
        async with work.write() as write:
            boxes = [box for box in (await write.held.load()).mailboxes if box.domain_id == row.id]
            ready = all(box.state == "active" and box.applied_generation >= box.generation for box in boxes)
            stored = await write.session.get_one(Domain, row.id)
            if ready and stored.move_phase == "closing" and stored.moving_from == write.server.id:
                write.server.generation += 1
                stored.move_generation = write.server.generation
        crashpoint("leave.after_wish")
        if ready:
            return Wait(0, "Closing")
        return Wait(LOOK_SECONDS, "Finishing", "Earlier orders for the mailboxes are carried out first.")

    async def _closed(self, work: Work, row: Domain) -> Outcome:
        """The host has applied the wish; now nobody may be connected, and nothing under way to a mailbox."""
        if not await work.ports.host.mail_quiet(work.host_address(), row.name):
            return Wait(LOOK_SECONDS, "Draining", "Deliveries and connections of the domain are ending.")
        crashpoint("leave.after_quiet")
        async with work.write() as write:
            stored = await write.session.get_one(Domain, row.id)
            if stored.move_phase == "closing" and stored.moving_from == write.server.id:
                stored.move_phase = "closed"
        crashpoint("leave.after_closed")
        await work.store.wake(row.server_id)
        return Wait(0, "Closed")

    async def _wish(self, work: Work, row: Domain, phase: str, then: str) -> None:
        async with work.write() as write:
            stored = await write.session.get_one(Domain, row.id)
            if stored.move_phase == phase and stored.moving_from == write.server.id:
                write.server.generation += 1
                stored.move_phase, stored.move_generation = then, write.server.generation

    async def _forget(self, work: Work, row: Domain) -> Outcome:
        await work.ports.host.forget_mail(work.host_address(), row.name)
        crashpoint("leave.after_forget")
        async with work.write() as write:
            stored = await write.session.get(Domain, row.id)
            if stored is not None and stored.moving_from == write.server.id:
                stored.moving_from = stored.move_phase = stored.move_before = None
                stored.move_generation = stored.opened_at = None
                write.log("leave_domain", "ok", subject_id=row.id, message=f"{row.name} is no longer here")
        await work.store.wake(row.server_id)  # it publishes our keys no longer
        return Wait(0, "Forgotten")
