"""The loop: claim a server, walk its plan, write down what was seen, give it back.

Any number of engines on any number of machines may run; a server is worked on by one at a time. A pass ends after the
first step that changed something, and the next pass comes at once. Looks that find again what is known change nothing:
a recheck is one reading, all its looks, and one write.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from prometheus_client import Counter, Histogram

from services.provisioner.hosts.port import HostError
from services.provisioner.ports import CloudError, PaymentError, VaultUnavailable
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.lease import Lease, LostLease, moment
from services.provisioner.reconciler.outcomes import Done, Outcome, Retry, Wait
from services.provisioner.reconciler.record import Recorder
from services.provisioner.reconciler.store import Store
from services.provisioner.reconciler.work import Known, Ports, Work, Write
from services.provisioner.steps.base import Step
from shared.crashpoint import crashpoint
from shared.observability.logging import get_logger

PASSES = Counter("sc_reconcile_passes_total", "Passes by how they ended", ["end"])
STEPS = Counter("sc_reconcile_steps_total", "Steps run, by outcome", ["step", "outcome"])
SECONDS = Histogram("sc_reconcile_pass_seconds", "Seconds of a pass")
LONGEST_IDLE = 3600.0

_log = get_logger("reconciler")


@dataclass
class _Seen:
    """What a pass has come to know for `generation`. `writes`: the steps' transactions before it; `due`: in how many
    seconds steps that wait want another look; `quiet`: the steps that were looked at again and are as they were."""

    generation: int
    writes: int
    outcomes: list[tuple[Step, Outcome]] = field(default_factory=list)
    due: list[float] = field(default_factory=list)
    quiet: set[str] = field(default_factory=set)

    def changed(self, step: Step, outcome: Outcome) -> bool:
        """Whether something is other than it was, so that all has to be read anew."""
        if isinstance(outcome, Done):
            return step.name not in self.quiet
        return isinstance(outcome, Wait) and outcome.after == 0

    def all_well(self) -> bool:
        """Nothing had to be done, and nothing is waited for."""
        return not self.due and len(self.quiet) == len(self.outcomes)


class Engine:
    """One worker's share. `present` and `absent` are the plans, in order."""

    def __init__(
        self,
        store: Store,
        ports: Ports,
        recorder: Recorder,
        *,
        owner: str,
        present: Sequence[Step],
        absent: Sequence[Step],
    ) -> None:
        self._store = store
        self._ports = ports
        self._recorder = recorder
        self._owner = owner
        self._plans = {"present": tuple(present), "absent": tuple(absent)}
        self._by_name = {wish: {step.name: step for step in plan} for wish, plan in self._plans.items()}
        self._seconds = ports.settings.lease_seconds

    async def claim(self) -> Lease | None:
        return await self._store.claim(self._owner, self._seconds)

    async def work_once(self) -> float | None:
        """One pass over the server that has been due longest. None when there is none, else the seconds until that
        server is due again."""
        lease = await self.claim()
        return None if lease is None else await self.work_on(lease)

    async def work_on(self, lease: Lease) -> float:
        """A pass under `lease`, which is renewed while it lasts. A lost lease ends it without a further write."""
        began = moment()
        working = asyncio.create_task(self._pass(lease))
        renewing = asyncio.create_task(self._keep(lease, working))
        try:
            after = await working
            PASSES.labels("released").inc()
        except LostLease:
            _log.warning("lease lost", server_id=lease.server_id, fence=lease.fence)
            PASSES.labels("lost").inc()
            return self._seconds
        except asyncio.CancelledError:
            working.cancel()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            PASSES.labels("lost").inc()  # the pass was cancelled by `_keep`, not we
            return self._seconds
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            SECONDS.observe(moment() - began)
        return after

    async def _keep(self, lease: Lease, working: asyncio.Task[float]) -> None:
        """Renews the lease every third of its length; cancels the pass when it is lost."""
        while True:
            await asyncio.sleep(self._seconds / 3)
            try:
                await self._store.renew(lease)
            except LostLease:
                working.cancel()
                return
            except Exception as error:  # the database is away: the pass goes on until its lease has run out
                _log.warning("lease not renewed", server_id=lease.server_id, kind=type(error).__name__)
                if lease.remaining() <= 0:
                    working.cancel()
                    return

    async def _pass(self, lease: Lease) -> float:
        """Pass after pass as long as each one changes something, all under one claim."""
        async with self._store.hold(lease) as held:
            work = Work(self._store, lease, await held.load(), self._ports)
            await self._begin_first(work, Write(held, lease, work.now()))
        turns = self._ports.settings.passes_per_claim
        after = None
        while after is None:
            turns -= 1
            after = await self._one_pass(work, last=turns <= 0)
        return after

    async def _one_pass(self, work: Work, *, last: bool) -> float | None:
        """Walks the plan up to the first step that changes something. None when the claim goes on."""
        desired, seen = work.server.desired, _Seen(work.server.generation, work.writes)
        for step in self._plans[desired]:
            if work.server.desired != desired:
                break  # the wish has been turned round meanwhile; who did it has woken the server
            if not self._wanted(step, work, seen.quiet):
                continue
            wait = self._waits(step, work)
            if wait is not None:
                seen.due.append(wait)
                continue
            writes = work.writes
            outcome = await self._run(step, work)
            seen.outcomes.append((step, outcome))
            if isinstance(outcome, Done) and self._quiet(step, work) and work.writes == writes:
                seen.quiet.add(step.name)
            if seen.changed(step, outcome):
                break
        return await self._finish(work, seen, last=last)

    def _wanted(self, step: Step, work: Work, quiet: Collection[str] = ()) -> bool:
        """Whether there is something to do that nothing stands before; `quiet`: steps that were just looked at."""
        plan = self._by_name[work.server.desired]
        needed = (name for name in step.needs if name not in quiet)
        return not step.satisfied(work) and all(plan[name].satisfied(work) for name in needed)

    async def _begin_first(self, work: Work, write: Write) -> None:
        """Writes down that the step with which the next pass begins is under way, in a transaction that is open
        anyway."""
        for step in self._plans[work.server.desired]:
            if self._wanted(step, work) and self._waits(step, work) is None:
                if self._begins(step, work):
                    await self._recorder.begin(write, step)
                return

    def _waits(self, step: Step, work: Work) -> float | None:
        """Seconds until the step wants to be looked at, None when that is now. Whoever was woken does not sleep on,
        except after a failure."""
        condition = work.condition(step.condition)
        if condition is None or condition.due_at is None or condition.status == "true":
            return None
        if work.lease.woken and condition.failures == 0:
            return None
        left = (condition.due_at - work.now()).total_seconds()
        return left if left > 0 else None

    async def _run(self, step: Step, work: Work) -> Outcome:
        if self._begins(step, work):
            async with work.record() as write:
                await self._recorder.begin(write, step)
        crashpoint(f"step.{step.name}.before")
        try:
            outcome = await step.run(work)
        except (CloudError, HostError, VaultUnavailable, PaymentError) as error:
            outcome = outcome_of(error)
            _log.info("step failed", server_id=work.server.id, step=step.name, kind=type(error).__name__,
                      detail=str(error)[:500])  # fmt: skip
        except LostLease:
            raise
        except (
            Exception
        ) as error:  # a defect: logged, counted, retried with a growing pause, stalls in the end
            _log.error("step broke", server_id=work.server.id, step=step.name, exc_info=error)
            outcome = Retry("defect", type(error).__name__, "Something went wrong on our side; trying again.")
        crashpoint(f"step.{step.name}.after")
        STEPS.labels(step.name, type(outcome).__name__.lower()).inc()
        return outcome

    def _begins(self, step: Step, work: Work) -> bool:
        """For the first time, or again after it was satisfied or opened anew."""
        condition = work.condition(step.condition)
        if condition is None or condition.reason == "Reopened":
            return True
        return condition.status == "true" and not self._quiet(step, work)

    def _quiet(self, step: Step, work: Work) -> bool:
        """A recheck of something that is true for this generation: told only when it fails."""
        condition = work.condition(step.condition)
        if not step.recheck or condition is None or condition.status != "true":
            return False
        return not (step.each_generation and condition.observed_generation < work.server.generation)

    async def _finish(self, work: Work, seen: _Seen, *, last: bool) -> float | None:
        """Records all outcomes, in one transaction under the fence. After progress it reads what is known now, and
        the next pass follows; else, or after the last pass of a claim, it gives the server back."""
        progress = any(seen.changed(step, outcome) for step, outcome in seen.outcomes)
        all_well = seen.all_well()
        async with work.record() as write:
            goes_on = progress and not last and write.server.deleted_at is None
            known = await self._known(work, write, seen) if goes_on else work.known
            for step, outcome in seen.outcomes:
                seen.due.append(await self._recorder.settle(write, step, outcome, seen.generation))
            if all_well:
                write.server.observed_generation = seen.generation
                seen.due.append(self._idle(work, seen.quiet))
            if goes_on:
                work.known = known
                await self._begin_first(work, write)
                return None
            after = 0.0 if progress else min(seen.due, default=LONGEST_IDLE)
            crashpoint("pass.before_release")
            await write.held.release(after)
        crashpoint("pass.after_release")
        return after

    async def _known(self, work: Work, write: Write, seen: _Seen) -> Known:
        """What is known now. Other rows than the conditions are read anew when a step has written, or somebody has
        woken the server: whoever changes something of it does. Of other servers nobody tells."""
        same = work.writes == seen.writes and write.server.wakes == work.lease.wakes and not work.known.others
        work.lease.saw(write.server.wakes)
        if same:
            return replace(work.known, server=write.server, conditions=await write.held.conditions())
        return await write.held.load()

    def _idle(self, work: Work, looked_at: set[str]) -> float:
        """Seconds until the next recheck, but of those that have just been made."""
        rechecks = [
            condition.due_at
            for step in self._plans[work.server.desired]
            if step.recheck
            and step.name not in looked_at
            and (condition := work.condition(step.condition)) is not None
            and condition.due_at is not None
        ]
        soonest = min(rechecks, default=work.now() + timedelta(seconds=LONGEST_IDLE))
        return max(0.5, (soonest - work.now()).total_seconds())


class Dispatcher:
    """Feeds an engine: up to `concurrency` passes at a time, woken by NOTIFY, by its own timers, and by a poll."""

    def __init__(self, engine: Engine, *, concurrency: int, poll_seconds: float) -> None:
        self._engine = engine
        self._concurrency = concurrency
        self._poll = poll_seconds
        self._running: set[asyncio.Task[None]] = set()
        self._nudge = asyncio.Event()

    def nudge(self) -> None:
        """Look now."""
        self._nudge.set()

    async def run(self) -> None:
        """Works until cancelled; passes at work are then cancelled too, and their leases run out."""
        try:
            while True:
                self._nudge.clear()
                while len(self._running) < self._concurrency:
                    lease = await self._engine.claim()
                    if lease is None:
                        break
                    task = asyncio.create_task(self._one(lease))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._nudge.wait(), self._poll)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _one(self, lease: Lease) -> None:
        try:
            after = await self._engine.work_on(lease)
        except Exception as error:  # the database is away: the lease runs out and the server is claimed again
            _log.error("pass broke", server_id=lease.server_id, exc_info=error)
            return
        if after < self._poll * 2:
            asyncio.get_running_loop().call_later(after, self.nudge)
