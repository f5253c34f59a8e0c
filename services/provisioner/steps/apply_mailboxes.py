"""Password verifiers of mailboxes, from the vault. The passwords themselves never come this way."""

from __future__ import annotations

from services.provisioner.models import Mailbox, MailboxVerifier
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps.base import Step
from services.provisioner.steps.desired import closed
from shared.crashpoint import crashpoint


class ApplyMailboxes(Step):
    """One mailbox a pass; the vault's call is idempotent and returns the complete stored set."""

    name = "apply_mailboxes"
    title = "Fetch password verifiers"
    condition = "VerifiersFetched"
    needs = ("ready",)

    def satisfied(self, work: Work) -> bool:
        return self._next(work) is None

    @staticmethod
    def _next(work: Work) -> Mailbox | None:
        """The first whose verifiers were not fetched since its passwords were said to have changed."""
        fetched = {row.mailbox_id: row.generation for row in work.known.verifiers.values()}
        return next(
            (
                row
                for row in work.known.mailboxes
                if row.state != "removing"
                and row.domain_id not in closed(work)
                and fetched.get(row.id, -1) < row.generation
            ),
            None,
        )

    async def run(self, work: Work) -> Outcome:
        row = self._next(work)
        if row is None:
            return Done()
        answer = await work.ports.vault.mailbox_verifiers(
            row.workspace_id, row.server_id, row.id, row.address, row.display_name
        )
        crashpoint("verifiers.after_fetch")
        async with work.write() as write:
            known = await write.session.get(MailboxVerifier, row.id)
            if known is None:
                known = MailboxVerifier(mailbox_id=row.id, workspace_id=row.workspace_id)
                write.session.add(known)
            known.verifiers = [item.model_dump(mode="json") for item in answer.verifiers]
            known.version, known.generation, known.fetched_at = answer.version, row.generation, write.now
            write.log(
                "mailbox_password", "ok", subject_id=row.id, message="The vault has given the verifiers",
                evidence={"versions": [item.version for item in answer.verifiers]},
            )  # fmt: skip
        return Wait(0, "VerifiersFetched")
