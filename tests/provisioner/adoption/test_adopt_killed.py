"""kill -9 while an operator adopts: all of it is in the books or nothing, and a worker goes on from there."""

from __future__ import annotations

import pytest

from services.provisioner.adoption.machine import NotAdoptable
from services.provisioner.models import CloudResource
from tests.provisioner.adoption.forgetting import OPERATOR, adopt, count, forgotten, shown
from tests.provisioner.owned import one_server_and_nothing_else
from tests.provisioner.reconciler.crashpoints import ADOPTING
from tests.provisioner.workers import Workers


@pytest.mark.parametrize("crashpoint", ADOPTING)
async def test_killed_while_adopting_it_is_done_as_a_whole_or_again(
    workers: Workers, crashpoint: str
) -> None:
    stage = workers.stage
    server = await forgotten(stage)
    order = {"server_id": server.id, "operator": OPERATOR, "host_key": shown(stage, server.id)}
    await workers.died(workers.start(crashpoint=crashpoint, adopts=order))
    assert await count(stage, CloudResource) == (0 if crashpoint == "adopt.before_write" else 5)

    async def adopted() -> bool:
        """By another operator, who waits until the dead one's lease has run out."""
        try:
            await adopt(stage, server.id)
        except NotAdoptable as error:
            return "several" not in str(error) and "at work" not in str(error)
        return True

    await workers.until(adopted)
    workers.start()
    await workers.until(lambda: stage.is_true(server.id, "HeldReleased"))
    await one_server_and_nothing_else(stage, server.id)
