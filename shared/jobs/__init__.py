"""Long work as a read model."""

from shared.jobs.jobs import JobBatch, JobEvent, JobState, JobView, StepState, StepView, job_stream

__all__ = ["JobBatch", "JobEvent", "JobState", "JobView", "StepState", "StepView", "job_stream"]
