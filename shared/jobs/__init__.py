"""Long work as a read model."""

from shared.jobs.jobs import (
    JobBatch,
    JobEta,
    JobEvent,
    JobState,
    JobView,
    StepExpectation,
    StepState,
    StepView,
    job_stream,
)

__all__ = [
    "JobBatch",
    "JobEta",
    "JobEvent",
    "JobState",
    "JobView",
    "StepExpectation",
    "StepState",
    "StepView",
    "job_stream",
]
