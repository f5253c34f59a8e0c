"""Changes at once all that somebody has seen and that still opens a mailbox: for when a colleague leaves."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.app_passwords import repository as app_passwords
from services.vault.credential_reads import repository as reads
from services.vault.credential_rotations import repository
from services.vault.credential_rotations.schemas import NewRotation, RotationAccepted
from services.vault.mailboxes import repository as mailboxes
from services.vault.mailboxes.changes import change
from services.vault.models import CredentialRotation, RotatedMailbox
from shared.audit import record
from shared.clock import Clock
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.jobs import JobView, StepView

WAITING_SHOWN = 20


class CredentialRotations:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def start(
        self, session: AsyncSession, actor: Identity, workspace_id: str, new: NewRotation
    ) -> RotationAccepted:
        """One change for each mailbox: a new password is due, app passwords that were seen are revoked.

        New passwords are made when the hosts' verifiers are fetched, so that this call lasts as long as its writes.
        """
        seen = await reads.still_open(session, workspace_id, since=new.since, actor_id=new.actor_id)
        rotation = CredentialRotation(
            id=new_id("rot"),
            workspace_id=workspace_id,
            actor_id=new.actor_id,
            since=new.since,
            created_by=actor.subject,
            created_at=self._clock.now(),
        )
        session.add(rotation)
        await session.flush()
        passwords = revoked = 0
        rows = await mailboxes.lock_all(session, list(seen))
        for mailbox in rows:
            found = seen[mailbox.id]
            version = (await change(session, actor, mailbox)).version
            if found.password:
                mailbox.password_due = version
                passwords += 1
            for app_password_id in found.app_password_ids:
                row = await app_passwords.get(session, app_password_id)
                if row is not None:
                    await app_passwords.revoke(session, row, version, self._clock.now())
                    revoked += 1
            session.add(
                RotatedMailbox(
                    rotation_id=rotation.id, workspace_id=workspace_id, mailbox_id=mailbox.id, version=version
                )
            )
        await record(
            session, workspace_id=workspace_id, actor=actor, action="vault.credentials.rotated",
            target=rotation.id, outcome="ok", reason=new.reason,
            data={
                "actor_id": new.actor_id, "since": new.since.isoformat() if new.since else None,
                "mailboxes": len(rows), "passwords": passwords, "app_passwords": revoked,
            },
        )  # fmt: skip
        return RotationAccepted(
            job_id=rotation.id, mailboxes=len(rows), passwords=passwords, app_passwords=revoked
        )

    async def view(self, session: AsyncSession, rotation_id: str) -> JobView:
        """Raises NotFound."""
        rotation = await repository.get(session, rotation_id)
        if rotation is None:
            raise NotFound
        done = await repository.progress(session, rotation_id)
        waiting = await repository.waiting(session, rotation_id, WAITING_SHOWN)
        ended_at = None if waiting else done.last_at or rotation.created_at
        step = StepView(
            name="apply_credentials",
            title="Have the servers forget what was seen",
            state="running" if waiting else "ok",
            started_at=rotation.created_at,
            ended_at=ended_at,
            attempt=1,
            message=f"{done.applied} of {done.mailboxes} mailboxes are opened by new passwords only.",
            next_action="Look at the jobs of the servers of these mailboxes, if this lasts."
            if waiting
            else None,
            evidence={"mailboxes": done.mailboxes, "applied": done.applied, "waiting": waiting},
        )
        return JobView(
            id=rotation.id,
            kind="rotate_credentials",
            state=step.state,
            subject_id=rotation.actor_id,
            generation=1,
            created_at=rotation.created_at,
            finished_at=ended_at,
            steps=[step],
        )
