"""The told story taken up again, and what its steps' own judges say of evidence that was gathered anew."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from demo.__main__ import STEPS
from demo.logins import resume
from demo.story import Check, Evidence, Story
from tests.e2e.conftest import Told

IMPATIENT = 4.0  # seconds; a world that is altered stays so, there is nothing to wait for


@asynccontextmanager
async def going_on(told: Told) -> AsyncIterator[Story]:
    story = await resume(told.stack)
    story.patience = IMPATIENT
    try:
        yield story
    finally:
        await story.api.close()
        await story.world.close()


def patient(story: Story) -> Story:
    story.patience = 60
    return story


def evidence_of(told: Told, step: str) -> Evidence:
    found: Evidence = json.loads((told.stack.layout.var / "evidence" / f"{step}.json").read_text())
    return found


def failed(checks: list[Check]) -> list[str]:
    return [check.what for check in checks if not check.ok]


async def attempt(story: Story, step: str, collect: Callable[[], Awaitable[Any]]) -> str:
    """The kind of error with which collecting a step's evidence ends, or its verdict."""
    try:
        evidence = await collect()
    except Exception as error:
        return type(error).__name__
    judged = next(s for s in STEPS if s.id == step).judge(json.loads(json.dumps(evidence, default=str)))
    return f"failed: {failed(judged)}"
