"""Shapes of the rotation of all that somebody has seen. Its progress is a job as everywhere (shared/jobs)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

from services.vault.mailboxes.schemas import Reason


class NewRotation(BaseModel):
    """What `actor_id` has seen since then (null: ever) and still opens a mailbox. `reason` goes to the audit log."""

    model_config = ConfigDict(extra="forbid")

    actor_id: Annotated[str, StringConstraints(pattern=r"^(usr|key)_[0-9a-f]{32}$")]
    since: AwareDatetime | None = None
    reason: Reason


class RotationAccepted(BaseModel):
    """`job_id` is followed at …/credential-rotations/{job_id}."""

    job_id: str
    mailboxes: int
    passwords: int
    app_passwords: int
