"""Jobs as others see them: a read model over a subject's generation and its step log.

A service builds `JobView` from its own tables; `job_stream` sends each new state live. Nothing here decides
anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.web.sse import EventStream, ServerSentEvent, event_stream

StepState = Literal["pending", "running", "ok", "failed", "retrying"]
JobState = Literal["pending", "running", "ok", "failed", "stalled"]
POLL_SECONDS = 0.25
FINISHED: frozenset[JobState] = frozenset({"ok", "failed"})


class StepExpectation(BaseModel):
    """Seconds that the step took in `samples` jobs of the same kind: the median, and what nine of ten kept below."""

    median_seconds: float
    p90_seconds: float
    samples: int


class JobEta(BaseModel):
    """When the job ends if it goes like the `samples` jobs before it: as the median of them, as nine of ten did."""

    median: datetime
    p90: datetime
    samples: int


class StepView(BaseModel):
    """One named step. `message` is for people, `evidence` is what was seen (addresses, ids, log lines)."""

    model_config = ConfigDict(extra="ignore")

    name: str
    title: str
    state: StepState = "pending"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 0
    message: str | None = None
    next_action: str | None = None
    evidence: dict[str, Any] = {}
    expected: StepExpectation | None = None


class JobView(BaseModel):
    """One job. `subject_id` is what it works on, `generation` which desired state of it.

    `eta` comes from our own history; where there is none, `eta_reason` says why. A job that has ended has neither.
    """

    model_config = ConfigDict(extra="ignore")

    id: str
    kind: str
    state: JobState
    subject_id: str
    generation: int
    created_at: datetime
    finished_at: datetime | None = None
    eta: JobEta | None = None
    eta_reason: str | None = None
    steps: list[StepView] = []


@dataclass(frozen=True)
class JobEvent:
    """A step or the job as it was at one row of the log; `id` is that row's number, growing."""

    id: int
    view: StepView | JobView


@dataclass(frozen=True)
class JobBatch:
    """What came after a row: events in order, and whether the job has finished so that nothing more can come."""

    events: Sequence[JobEvent]
    finished: bool


Load = Callable[[int], Awaitable[JobBatch]]


def job_stream(load: Load, last_event_id: int = 0, *, poll_seconds: float = POLL_SECONDS) -> EventStream:
    """Server-sent events `step` and `job`, from the row after `last_event_id` until the job has finished.

    `load(after)` returns the events of rows above `after`, each call in a transaction of its own: a stream holds
    no connection to the database while it waits.
    """

    async def events() -> AsyncIterator[ServerSentEvent]:
        after = last_event_id
        while True:
            batch = await load(after)
            for event in batch.events:
                after = max(after, event.id)
                name = "job" if isinstance(event.view, JobView) else "step"
                yield ServerSentEvent(str(event.id), name, event.view.model_dump_json())
            if batch.finished:
                return
            await asyncio.sleep(poll_seconds)

    return event_stream(events())
