"""A step of the demo that waits for a step of a job says what came instead. Needs no stack."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from demo.api import Api, StreamEvent
from demo.steps.servers import follow
from demo.story import Party
from demo.world import NeverHappened


class Stream:
    """An API that has only a job's events to tell."""

    def __init__(self, *events: tuple[str, dict[str, Any]]) -> None:
        self._events = events

    async def stream(self, path: str, seconds: float) -> AsyncIterator[StreamEvent]:
        for number, (kind, data) in enumerate(self._events):
            yield StreamEvent(kind, str(number), data, 0.0)


REFUSED = {
    "name": "reserve_addresses",
    "title": "Reserve addresses",
    "state": "failed",
    "message": "3 were listed.",
}
CHECKED = {"name": "check_reputation", "title": "Check the addresses", "state": "ok", "message": "clean"}


def job(state: str, *steps: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "job", {"state": state, "steps": list(steps)}


async def followed(*events: tuple[str, dict[str, Any]], until_step: str | None) -> list[StreamEvent]:
    party = cast(Party, type("Somebody", (), {"path": "/v1/workspaces/ws_a", "server_id": "srv_a"}))
    return await follow(cast(Api, Stream(*events)), party, "job_a", until_step=until_step, seconds=5)


async def test_a_job_that_stalls_before_the_awaited_step_is_an_error_that_says_why() -> None:
    with pytest.raises(NeverHappened) as ended:
        await followed(("step", REFUSED), job("stalled", REFUSED, CHECKED), until_step="check_reputation")
    said = str(ended.value)
    assert "check_reputation of srv_a: the job ended as stalled." in said
    assert "Reserve addresses: 3 were listed." in said
    assert "clean" not in said


async def test_the_awaited_step_ends_the_looking_on() -> None:
    events = await followed(
        ("step", REFUSED), ("step", CHECKED), job("stalled"), until_step="check_reputation"
    )
    assert [event.data["name"] for event in events] == ["reserve_addresses", "check_reputation"]


async def test_who_waits_for_no_step_sees_the_job_to_its_end() -> None:
    events = await followed(("step", CHECKED), job("ok", CHECKED), until_step=None)
    assert events[-1].data["state"] == "ok"
