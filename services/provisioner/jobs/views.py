"""Jobs: the step log, read as named steps. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.provisioner.models import Job, StepLog
from services.provisioner.reconciler.plan import ABSENT, PRESENT
from shared.jobs import JobState, JobView, StepState, StepView

TITLES = {step.name: step.title for step in (*PRESENT, *ABSENT)} | {
    "apply_domain": "Make the domain's signing keys on the server",
    "publish_domain": "Publish the domain's records",
    "domain_certificate": "Get the domain's certificates",
    "copy_mail": "Copy the mail to the new server",
    "close_domain": "Close the mailboxes on the old server",
    "copy_rest": "Copy what came meanwhile",
    "open_mailboxes": "Open the mailboxes on the new server",
    "remove_domain": "Remove the domain",
    "mailbox_password": "Get the verifiers of its passwords from the vault",
    "apply_mailbox": "Set the mailbox up on the server",
    "remove_mailbox": "Remove the mailbox",
}
_PRESENT = [step.name for step in PRESENT]
_UNTIL_READY = [step.name for step in PRESENT[: _PRESENT.index("ready") + 1] if not step.aside]
_MADE_ANEW = [name for name in _UNTIL_READY if _PRESENT.index(name) >= _PRESENT.index("create_instance")]
_KEPT = ("publish_addresses", "reverse_names")
STEPS: dict[str, tuple[str, ...]] = {
    "provision": tuple(_UNTIL_READY),
    "cancel": tuple(step.name for step in ABSENT),
    "add_domain": ("apply_domain", "publish_domain", "domain_certificate"),
    "remove_domain": ("remove_domain",),
    "move_domain": (
        "apply_domain",
        "copy_mail",
        "publish_domain",
        "close_domain",
        "copy_rest",
        "open_mailboxes",
        "domain_certificate",
    ),
    "return_domain": ("apply_domain", "publish_domain", "domain_certificate"),
    "add_mailbox": ("mailbox_password", "apply_mailbox"),
    "remove_mailbox": ("remove_mailbox",),
    "reboot": ("boot", "self_test", "observe", "ready"),
    "rescue": ("boot",),
    "rebuild": ("retire_instance", *(name for name in _MADE_ANEW if name not in _KEPT), "apply_host"),
    "change_credentials": ("mailbox_password", "apply_mailbox"),
    "end_webmail": ("apply_mailbox",),
}
LAST = {"provision": "ready", "cancel": "tombstone", "reboot": "ready"}
STATE_OF: dict[str, StepState] = {
    "started": "running",
    "waiting": "running",
    "retrying": "retrying",
    "ok": "ok",
    "failed": "failed",
    "stalled": "retrying",
}


@dataclass
class Fold:
    """The state of a job after some rows of its log. `ended_at` is set by a later job that ended this one."""

    job: Job
    ended_at: datetime | None = None
    steps: dict[str, StepView] = field(default_factory=dict)
    troubled: set[str] = field(default_factory=set)
    finished_at: datetime | None = None

    def __post_init__(self) -> None:
        names = STEPS[self.job.kind]
        self.steps = {name: StepView(name=name, title=TITLES[name]) for name in names}

    def add(self, row: StepLog) -> StepView | None:
        """The step as it is after `row`; None when the row is not of this job, or came after its end."""
        view = self.steps.get(row.step)
        if view is None or self.finished_at is not None:
            return None
        begun = row.outcome == "started" and view.state in ("ok", "failed")
        started_at = row.at if begun or view.started_at is None else view.started_at
        changed = view.model_copy(
            update={
                "state": STATE_OF[row.outcome],
                "started_at": started_at,
                "ended_at": row.at if row.outcome in ("ok", "failed") else None,
                "attempt": row.attempt,
                "message": row.message,
                "next_action": row.next_action,
                "evidence": row.evidence or ({} if begun else view.evidence),
            }
        )
        self.steps[row.step] = changed
        if row.outcome in ("failed", "stalled"):
            self.troubled.add(row.step)
        elif row.outcome == "ok":
            self.troubled.discard(row.step)
        if self._complete(row):
            self.finished_at = row.at
        return changed

    def _complete(self, row: StepLog) -> bool:
        last = LAST.get(self.job.kind)
        if last is not None:
            return row.step == last and row.outcome == "ok"
        return all(step.state == "ok" for step in self.steps.values())

    @property
    def state(self) -> JobState:
        if self.finished_at is not None:
            return "ok"
        if self.ended_at is not None:
            return "failed"
        if self.troubled:
            return "stalled"
        begun = any(step.state != "pending" for step in self.steps.values())
        return "running" if begun else "pending"

    def view(self) -> JobView:
        return JobView(
            id=self.job.id,
            kind=self.job.kind,
            state=self.state,
            subject_id=self.job.subject_id,
            generation=self.job.generation,
            created_at=self.job.created_at,
            finished_at=self.finished_at or self.ended_at,
            steps=list(self.steps.values()),
        )


def until(rows: Iterable[StepLog], ended_at: datetime | None) -> list[StepLog]:
    """The rows that are not of a later order, which ended the job."""
    return [row for row in rows if ended_at is None or row.at <= ended_at]


def folded(job: Job, rows: Iterable[StepLog], ended_at: datetime | None) -> Fold:
    fold = Fold(job, ended_at)
    for row in until(rows, ended_at):
        fold.add(row)
    return fold


def of_subject(job: Job, rows: Sequence[StepLog]) -> list[StepLog]:
    """The rows that are this job's, among those of its server."""
    return [row for row in rows if row.subject_id == job.subject_id and row.id > job.after_log]
