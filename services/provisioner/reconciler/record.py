"""Writing down what a step said: its condition, and a row of the step log for each change worth telling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.provisioner.models import Condition
from services.provisioner.reconciler.backoff import Backoff
from services.provisioner.reconciler.outcomes import STOPS, Done, Fatal, Outcome, Retry, Wait
from services.provisioner.reconciler.work import Write
from services.provisioner.steps.base import Step
from shared.contracts.provisioner_events import ServerDegraded, ServerRecovered, ServerStalled

STALLED = "Stalled"
READY = "Ready"
STALLED_PAUSE = 15.0


@dataclass(frozen=True)
class Recorder:
    """`recheck_seconds`: when a step that rechecks looks again; `deadline_factor` stretches deadlines."""

    backoff: Backoff
    recheck_seconds: float
    deadline_factor: float

    async def begin(self, write: Write, step: Step) -> None:
        """The step is run for the first time, or again after it was satisfied or opened anew."""
        condition = await self._condition(write, step.condition)
        condition.since = write.now
        condition.attempt = 1
        condition.failures = 0
        condition.due_at = None
        _turn(condition, write, "unknown", "Running", "")
        write.log(step.name, "started")

    async def settle(self, write: Write, step: Step, outcome: Outcome, generation: int) -> float:
        """Records `outcome`, seen for `generation`; returns in how many seconds the step is due again."""
        condition = await self._condition(write, step.condition)
        was = (condition.status, condition.reason, condition.observed_generation)
        match outcome:
            case Done():
                return await self._done(write, step, condition, outcome, generation)
            case Wait():
                pause = outcome.after
                _turn(condition, write, "unknown", outcome.reason, outcome.message)
                if outcome.reason != was[1] and outcome.message:
                    self._log(write, step, condition, "waiting", outcome)
            case Retry():
                condition.failures += 1
                pause = self._pause(outcome, condition.failures)
                _turn(condition, write, "false", outcome.error_class, outcome.message or outcome.detail)
                if outcome.error_class != was[1] or condition.failures & (condition.failures - 1) == 0:
                    self._log(write, step, condition, "retrying", outcome)
                condition.attempt += 1
            case Fatal():
                condition.failures += 1
                pause = outcome.after
                _turn(condition, write, "false", outcome.reason, outcome.message)
                if outcome.reason != was[1]:
                    self._log(write, step, condition, "failed", outcome)
                await self._stall(write, step, outcome.reason, outcome.message)
        condition.evidence = outcome.evidence or condition.evidence
        pause = await self._check_deadline(write, step, condition, outcome, pause)
        condition.due_at = write.now + timedelta(seconds=pause)
        if step.guards_ready and condition.status == "false" and not _blind(outcome):
            await self._not_ready(write, step, condition)
        return pause

    async def _done(
        self, write: Write, step: Step, condition: Condition, outcome: Done, generation: int
    ) -> float:
        if step.condition == READY and condition.evidence.get("degraded"):
            server = write.server
            await write.emit(
                ServerRecovered(
                    workspace_id=server.workspace_id, server_id=server.id, hostname=server.hostname
                )
            )
        holds = condition.status == "true"
        news = not holds or (step.each_generation and condition.observed_generation < generation)
        _turn(condition, write, "true", "Done", outcome.message)
        condition.observed_generation = max(condition.observed_generation, generation)
        condition.failures = 0
        condition.evidence = outcome.evidence
        pause = self.recheck_seconds if step.recheck else 0.0
        condition.due_at = write.now + timedelta(seconds=pause) if step.recheck else None
        if news:
            write.log(
                step.name, "ok", attempt=condition.attempt, message=outcome.message, evidence=outcome.evidence
            )
        if not holds:
            await self._resume(write, step)
        return pause

    async def _resume(self, write: Write, step: Step) -> None:
        """The server goes on, if it was this step that held it up."""
        stalled = (await write.held.conditions()).get(STALLED)
        if stalled is not None and stalled.status == "true" and stalled.evidence.get("step") == step.name:
            _turn(stalled, write, "false", "Resumed", "")

    def _pause(self, outcome: Retry, failures: int) -> float:
        if outcome.after is not None:
            return outcome.after
        return self.backoff.seconds(outcome.error_class, failures)

    async def _check_deadline(
        self, write: Write, step: Step, condition: Condition, outcome: Outcome, pause: float
    ) -> float:
        """Past its deadline a step stalls the server; it goes on slowly."""
        if isinstance(outcome, Fatal) or (isinstance(outcome, Wait) and outcome.after == 0):
            return pause
        if (write.now - condition.since).total_seconds() <= step.deadline * self.deadline_factor:
            return pause
        text = condition.message or f"{step.title} takes longer than it should."
        if await self._stall(write, step, "DeadlineExceeded", text):
            self._log(write, step, condition, "stalled", outcome)
        return max(pause, STALLED_PAUSE)

    async def _stall(self, write: Write, step: Step, reason: str, message: str) -> bool:
        """True when the server was not stalled by this step before."""
        condition = await self._condition(write, STALLED)
        stop = reason if reason in STOPS and not write.server.ever_ready else ""
        told = condition.evidence.get("told", "")
        news = condition.status != "true" or condition.evidence.get("step") != step.name
        news = news or (stop != "" and condition.reason != reason)
        _turn(condition, write, "true", reason, f"{step.title}: {message}")
        condition.evidence = {"step": step.name, "told": stop or told}
        known = stop != "" and stop == told  # who waits is not told again after each try
        if news and not known and write.server.desired == "present":
            await write.emit(ServerStalled.model_validate({**_trouble(write, step), "stop": stop}))
        return news

    async def _not_ready(self, write: Write, step: Step, cause: Condition) -> None:
        ready = (await write.held.conditions()).get(READY)
        if ready is not None and ready.status == "true":
            _turn(ready, write, "false", step.condition, f"{step.title}: {cause.message}")
            ready.evidence = {**ready.evidence, "degraded": step.name}
            await write.emit(ServerDegraded(**_trouble(write, step)))

    def _log(self, write: Write, step: Step, condition: Condition, what: str, outcome: Outcome) -> None:
        write.log(
            step.name,
            what,
            attempt=condition.attempt,
            message=condition.message,
            next_action=outcome.next_action if isinstance(outcome, Fatal) else "",
            error_class=outcome.error_class if isinstance(outcome, Retry) else None,
            evidence=_evidence(outcome),
        )

    async def _condition(self, write: Write, kind: str) -> Condition:
        conditions = await write.held.conditions()
        found = conditions.get(kind)
        if found is None:
            found = conditions[kind] = Condition(
                server_id=write.server.id,
                type=kind,
                workspace_id=write.server.workspace_id,
                status="unknown",
                reason="New",
                message="",
                observed_generation=0,
                last_transition_at=write.now,
                since=write.now,
                due_at=None,
                attempt=1,
                failures=0,
                evidence={},
            )
            write.session.add(found)
        return found


def _blind(outcome: Outcome) -> bool:
    """The cloud's API is silent, or we give it a pause: that says nothing about a server that runs."""
    return isinstance(outcome, Retry) and outcome.error_class in ("unavailable", "rate_limited")


def _turn(condition: Condition, write: Write, status: str, reason: str, message: str) -> None:
    if condition.status != status:
        condition.last_transition_at = write.now
    condition.status, condition.reason, condition.message = status, reason, message[:2000]


def _trouble(write: Write, step: Step) -> dict[str, str]:
    """What is told to others of a step that does not go on or does not hold: never the text of an error."""
    server = write.server
    return {
        "workspace_id": server.workspace_id,
        "server_id": server.id,
        "hostname": server.hostname,
        "step": step.name,
        "title": step.title,
    }


def _evidence(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Retry):
        return {"detail": outcome.detail[:500], **outcome.evidence}
    return outcome.evidence
