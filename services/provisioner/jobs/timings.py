"""What our own history says about how long a job takes.

The worker reads the newest finished jobs of every workspace and keeps a few figures of each step; the API, which sees
only its own workspace's log, reads those figures. Steps run side by side, so their durations do not add up: when a
job ends is told from the time that was left, in earlier jobs, after the step that ended last.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.jobs.views import STEPS, Fold
from services.provisioner.models import Job, Server, StepLog, StepTiming
from shared.db.database import Database
from shared.jobs import JobEta, JobView, StepExpectation, StepView

CREATED = "created"
NEWEST = 100
"""Jobs of each kind that are looked at: older ones say little about today."""
ENOUGH = 5
"""Finished jobs without which a figure would be a guess."""
_LOCK_KEY = 0x5C_07E7


@dataclass
class _Sample:
    """Seconds of one step in several jobs: its own, and from its end to the job's."""

    own: list[float] = field(default_factory=list)
    left: list[float] = field(default_factory=list)
    last_at: datetime | None = None

    def add(self, began: datetime, ended: datetime, finished: datetime) -> None:
        self.own.append((ended - began).total_seconds())
        self.left.append((finished - ended).total_seconds())
        self.last_at = max(finished, self.last_at or finished)


def p90(values: Sequence[float]) -> float:
    """The smallest of the values that at least nine of ten do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(len(values) * 0.9) - 1]


async def collect(database: Database) -> None:
    """Replaces all figures by those of the newest jobs. Several workers may call it; one does it at a time."""
    async with database.transaction() as session:
        if not await session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK_KEY))):
            return
        found: dict[tuple[str, str, str], _Sample] = defaultdict(_Sample)
        for kind in STEPS:
            for image, fold in await _folds(session, kind):
                _measure(found, image, fold)
        await session.execute(delete(StepTiming))
        session.add_all(
            StepTiming(
                job_kind=kind,
                image=image,
                step=step,
                samples=len(sample.own),
                median_seconds=statistics.median(sample.own),
                p90_seconds=p90(sample.own),
                left_median_seconds=statistics.median(sample.left),
                left_p90_seconds=p90(sample.left),
                last_at=sample.last_at,
            )
            for (kind, image, step), sample in found.items()
        )


async def _folds(session: AsyncSession, kind: str) -> list[tuple[str, Fold]]:
    """Image and state of the newest jobs of a kind."""
    newest = select(Job.id).where(Job.kind == kind).order_by(Job.id.desc()).limit(NEWEST).scalar_subquery()
    of_job = and_(
        StepLog.server_id == Job.server_id,
        StepLog.subject_id == Job.subject_id,
        StepLog.id > Job.after_log,
        StepLog.step.in_(STEPS[kind]),
    )
    query = (
        select(Job, Server.image, StepLog)
        .join(Server, Server.id == Job.server_id)
        .join(StepLog, of_job)
        .where(Job.id.in_(newest), Server.image.is_not(None))
        .order_by(Job.id, StepLog.id)
    )
    folds: dict[str, tuple[str, Fold]] = {}
    for job, image, row in await session.execute(query):
        folds.setdefault(job.id, (str(image), Fold(job)))[1].add(row)
    return list(folds.values())


def _measure(found: dict[tuple[str, str, str], _Sample], image: str, fold: Fold) -> None:
    """Adds one job, when it reached its end."""
    finished, created = fold.finished_at, fold.job.created_at
    if finished is None:
        return
    found[fold.job.kind, image, CREATED].add(created, created, finished)
    for step in fold.steps.values():
        if step.state == "ok" and step.started_at is not None and step.ended_at is not None:
            found[fold.job.kind, image, step.name].add(step.started_at, step.ended_at, finished)


async def of_kinds(
    session: AsyncSession, kinds: Iterable[str], image: str | None
) -> dict[str, dict[str, StepTiming]]:
    """kind → step → figures, of servers made from `image`; for one that is not made yet, of the newest jobs' image."""
    rows = await session.scalars(
        select(StepTiming).where(StepTiming.job_kind.in_(set(kinds))).order_by(StepTiming.last_at.desc())
    )
    found: dict[str, dict[str, StepTiming]] = {}
    chosen: dict[str, str | None] = {}
    for row in rows:
        if chosen.setdefault(row.job_kind, image or row.image) == row.image:
            found.setdefault(row.job_kind, {})[row.step] = row
    return found


def expect(view: JobView, timings: Mapping[str, StepTiming], now: datetime) -> JobView:
    """The job with what is to be expected of it, as of `now`."""
    steps = [_expected(step, timings.get(step.name)) for step in view.steps]
    eta, reason = _eta(view, timings, now)
    return view.model_copy(update={"steps": steps, "eta": eta, "eta_reason": reason})


def _expected(step: StepView, timing: StepTiming | None) -> StepView:
    if timing is None or timing.samples < ENOUGH:
        return step
    expectation = StepExpectation(
        median_seconds=round(timing.median_seconds, 1),
        p90_seconds=round(timing.p90_seconds, 1),
        samples=timing.samples,
    )
    return step.model_copy(update={"expected": expectation})


def _eta(view: JobView, timings: Mapping[str, StepTiming], now: datetime) -> tuple[JobEta | None, str | None]:
    if view.finished_at is not None:
        return None, None
    known = timings[CREATED].samples if CREATED in timings else 0
    if known < ENOUGH:
        return None, f"Too little history: {known} jobs of this kind have ended, {ENOUGH} are needed."
    if view.state == "stalled":
        return None, "The job does not get on; see the step that has failed."
    ended = [(step.ended_at, step.name) for step in view.steps if step.state == "ok" and step.ended_at]
    since, name = max([(view.created_at, CREATED), *(one for one in ended if one[1] in timings)])
    after = timings[name]
    late = since + timedelta(seconds=after.left_p90_seconds)
    if late < now:
        return None, f"It takes longer than nine of the last ten did ({after.samples} jobs)."
    median = max(since + timedelta(seconds=after.left_median_seconds), now)
    return JobEta(median=median, p90=late, samples=after.samples), None
