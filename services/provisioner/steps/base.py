"""What every step is: a look, at most one act, and an honest word about it."""

from __future__ import annotations

from typing import ClassVar

from services.provisioner.reconciler.outcomes import Outcome
from services.provisioner.reconciler.work import Work


class Step:
    """One aspect of a server. `run` observes first, acts only on the gap, changes one thing outside, and returns.

    `needs` names the steps that must be satisfied before; `condition` is where the result is kept; after `deadline`
    seconds without success the server counts as stalled (and is still tried). `each_generation` steps run again when
    the wish changes; `recheck` steps also from time to time while all is well. `guards_ready`: a failure makes the
    server not Ready. `aside` steps are not part of every server's making: they serve an order, or
    a way round trouble. `title` is for people.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    condition: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    deadline: ClassVar[float] = 300.0
    each_generation: ClassVar[bool] = False
    recheck: ClassVar[bool] = False
    guards_ready: ClassVar[bool] = False
    aside: ClassVar[bool] = False

    def satisfied(self, work: Work) -> bool:
        """Whether there is nothing to do now. Looks at rows only."""
        condition = work.condition(self.condition)
        if condition is None or condition.status != "true":
            return False
        if self.each_generation and condition.observed_generation < work.server.generation:
            return False
        return not (self.recheck and condition.due_at is not None and condition.due_at <= work.now())

    def at_rest(self, work: Work) -> bool:
        """Not begun, or ended well: a step that has something to do only at times is not under way."""
        condition = work.condition(self.condition)
        return condition is None or condition.status == "true"

    async def run(self, work: Work) -> Outcome:
        raise NotImplementedError
