"""Domains that come from another server of the workspace, with their mailboxes and all that is in them.

The mail is copied while the old server goes on serving; then the records change over; then the old server closes the
mailboxes, what came meanwhile is copied, and only when both servers have the same are they opened here. Up to that
moment the domain can be taken back, and all is as it was. ADR 16.
"""

from __future__ import annotations

from services.provisioner.models import BEFORE_OPENING, Domain, Mailbox, MailboxVerifier
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work, Write
from services.provisioner.steps import names
from services.provisioner.steps.base import Step
from shared.contracts.provisioner_events import MailboxMoved
from shared.crashpoint import crashpoint

LOOK_SECONDS = 2.0
COPIED = {"copying": "once", "finishing": "all"}
STEP_OF = {"copying": "copy_mail", "finishing": "copy_rest"}


class TakeOverDomains(Step):
    """One mailbox a pass. Waiting for the records to be applied is the customer's time: then there is nothing to do."""

    name = "take_over_domains"
    title = "Take over domains from another server"
    condition = "DomainsTakenOver"
    needs = ("apply_host", "own_system")
    deadline = 1800.0

    def satisfied(self, work: Work) -> bool:
        return self.at_rest(work) and self._next(work) is None

    @staticmethod
    def _next(work: Work) -> Domain | None:
        return next((row for row in work.known.domains if _due(work, row)), None)

    async def run(self, work: Work) -> Outcome:
        row = self._next(work)
        if row is None:
            return Done("Nothing is to be done here now")
        match row.move_phase:
            case "copying" | "finishing":
                return await self._copy(work, row)
            case "announcing":
                await self._turn(work, row, "announcing", "switching", "publish_domain", told=RECORDS)
                # Now that ours is out the old server's set can be without it.
                await work.store.wake(str(row.moving_from))
            case "switching":
                await self._turn(work, row, "switching", "closing", "publish_domain", "close_domain")
                await work.store.wake(str(row.moving_from))
            case "closing":
                await work.store.wake(str(row.moving_from))
                return Wait(LOOK_SECONDS, "Closing", "The old server closes the mailboxes.")
            case "closed":
                await self._turn(work, row, "closed", "finishing", "close_domain", "copy_rest")
            case "opened":
                return await self._confirm(work, row)
        return Wait(0, "WentOn")

    async def _copy(self, work: Work, row: Domain) -> Outcome:
        """Before the old server has closed, a copy that is nearly the same; afterwards until it is the same."""
        phase = str(row.move_phase)
        boxes = _arriving(work, row)
        left = [box for box in boxes if box.copied not in (COPIED[phase], "all")]
        if not left:
            if phase == "finishing":
                return await self._open(work, row)
            await self._turn(work, row, "copying", "announcing", "copy_mail", "publish_domain")
            return Wait(0, "Copied")
        old = work.known.others[str(row.moving_from)]
        if old.boot_type != "local" or old.boots_done < old.boots:
            return Wait(30.0, "OldServerAway", "The old server does not run its own system at present.")
        box, source = left[0], work.other_host(old.id)
        crashpoint("move.before_copy")
        copy = await work.ports.host.copy_mail(source, work.host_address(), box.address)
        crashpoint("move.after_copy")
        enough = copy.same if phase == "finishing" else copy.complete
        done = len(boxes) - len(left) + enough
        async with work.write() as write:
            stored = await _held(write, row, phase)
            if stored is not None and enough:
                (await write.session.get_one(Mailbox, box.id)).copied = COPIED[phase]
            if stored is not None:
                write.log(
                    STEP_OF[phase], "waiting", subject_id=row.id,
                    message=f"{done} of {len(boxes)} mailboxes are copied.",
                    evidence={"copied": done, "of": len(boxes), "bytes": copy.bytes},
                )  # fmt: skip
        return Wait(0, "Copying")

    async def _turn(
        self, work: Work, row: Domain, phase: str, then: str, ended: str, begun: str = "", *, told: str = ""
    ) -> None:
        """From one phase to the next, unless the domain was taken back meanwhile. With `told` the step goes on, and
        waits for somebody."""
        crashpoint("move.before_turn")
        async with work.write() as write:
            stored = await _held(write, row, phase)
            if stored is None:
                return
            stored.move_phase = then
            if told:
                message = "Waiting until the domain's records are published and visible."
                write.log(ended, "waiting", subject_id=row.id, message=message, next_action=told)
            else:
                write.log(ended, "ok", subject_id=row.id)
            if begun:
                write.log(begun, "started", subject_id=row.id)
        crashpoint("move.after_turn")

    async def _open(self, work: Work, row: Domain) -> Outcome:
        """Both servers have the same, and nobody can change it: from now on the mailboxes are this server's."""
        crashpoint("move.before_open")
        async with work.write() as write:
            stored = await _held(write, row, "finishing")
            if stored is None:
                return Wait(0, "TakenBack")
            write.server.generation += 1
            for known in _arriving(work, row):
                await self._receive(write, await write.session.get_one(Mailbox, known.id))
            stored.move_phase, stored.state = "opened", "securing"
            stored.generation, stored.opened_at = write.server.generation, write.now
            write.log("copy_rest", "ok", subject_id=row.id, message="Both servers have the same mail")
            for step in ("open_mailboxes", "domain_certificate"):
                write.log(step, "started", subject_id=row.id)
        crashpoint("move.after_open")
        return Wait(0, "Opened")

    async def _receive(self, write: Write, box: Mailbox) -> None:
        verifier = await write.session.get(MailboxVerifier, box.id)
        fresh = verifier is not None and verifier.generation >= box.generation
        box.server_id, box.generation, box.applied_generation = write.server.id, write.server.generation, 0
        box.moves += 1
        if verifier is not None and fresh:
            verifier.generation = (
                box.generation
            )  # the vault need not be there for what we know to be the newest
        await write.held.emit(
            MailboxMoved(workspace_id=box.workspace_id, mailbox_id=box.id, server_id=box.server_id),
            subject=box.id,
            version=box.moves,
        )

    async def _confirm(self, work: Work, row: Domain) -> Outcome:
        """The host lets their owners in, and the vault knows whose they are: it gives verifiers to this server only."""
        boxes = [box for box in work.known.mailboxes if box.domain_id == row.id and box.state != "removing"]
        if any(box.applied_generation < box.generation for box in boxes):
            return Wait(LOOK_SECONDS, "Opening", "The server has not confirmed a mailbox yet.")
        left = [box for box in boxes if box.copied == "all"]
        if left:
            box = left[0]
            await work.ports.vault.mailbox_verifiers(
                box.workspace_id, work.server.id, box.id, box.address, box.display_name
            )
            async with work.write() as write:
                (await write.session.get_one(Mailbox, box.id)).copied = "passwords"
            return Wait(0, "Confirmed")
        crashpoint("move.before_turn_away")
        async with work.write() as write:
            stored = await write.session.get_one(Domain, row.id)
            if stored.move_phase == "opened":
                stored.move_phase = "leaving"
                for box in boxes:
                    (await write.session.get_one(Mailbox, box.id)).copied = None
                message = f"{len(boxes)} mailboxes are open on {work.server.hostname}"
                write.log("open_mailboxes", "ok", subject_id=row.id, message=message)
        await work.store.wake(str(row.moving_from))
        return Wait(0, "Open")


RECORDS = "Look at the zone's DNS plan and apply it."


def _due(work: Work, row: Domain) -> bool:
    """Whether it is this server's turn."""
    match row.move_phase:
        case "copying" | "closing" | "closed" | "finishing" | "opened":
            return True
        case "announcing":
            return names.is_published(work)
        case "switching":
            return row.dns_verified
    return False


def _arriving(work: Work, row: Domain) -> list[Mailbox]:
    return [box for box in work.known.arriving if box.domain_id == row.id and box.state != "removing"]


async def _held(write: Write, row: Domain, phase: str) -> Domain | None:
    """The domain as it is now. None when it is not in that phase on this server any more: an order has come between."""
    stored = await write.session.get(Domain, row.id)
    here = stored is not None and stored.server_id == write.server.id and stored.move_phase == phase
    return stored if here and phase in BEFORE_OPENING else None
