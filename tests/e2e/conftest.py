"""Running stacks for the tests that need all of it: brought up once, a story told once, taken down at the end."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from demo.__main__ import STEPS, tell_all
from demo.story import Outcome
from infra.local.layout import Layout
from infra.local.processes import ProcessFailed
from infra.local.stack import Stack
from infra.local.start import up
from infra.local.stop import clean
from tests.e2e.heard import Heard

# The last step ends workspace B; what tests do to a living B comes before it.
LEAVING = "i"
RANGE_WAIT_SECONDS = 600
# One stack, so one order: both customers, when B has left, what was written down, a stop and a crash.
ORDER = ("story", "story_orders", "story_webmail", "story_ends", "story_at_rest", "story_goes_on")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The story's modules first, in their order: it is what takes longest."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    name = item.path.stem.removeprefix("test_")
    return ORDER.index(name) if name in ORDER else len(ORDER)


@dataclass
class Told:
    """A stack and how its story went, step by step."""

    stack: Stack
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    heard: Heard = field(default_factory=Heard)


def needs_real_hosts() -> None:
    """Says what is missing on this machine; with CI=true a missing part is a failure, not a skip."""
    missing = (
        "root"
        if os.geteuid() != 0
        else next(
            (p for p in ("systemd-nspawn", "nft", "pebble", "pdns_server") if shutil.which(p) is None), None
        )
    )
    if missing is None:
        return
    reason = f"the story needs real servers, and this machine lacks {missing}: run scripts/setup as root"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def up_when_a_range_is_free(stack: Stack) -> None:
    """There are four address ranges on a machine; another test may hold the last one for a while."""
    deadline = time.monotonic() + RANGE_WAIT_SECONDS
    while True:
        try:
            return asyncio.run(up(stack))
        except ProcessFailed as error:
            if "no address range is free" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(5)


def stack_of_its_own(name: str, image: str) -> Iterator[Told]:
    needs_real_hosts()
    stack = Stack(Layout(name), image)
    clean(stack)  # what a killed run has left
    try:
        up_when_a_range_is_free(stack)
        yield Told(stack)
    finally:
        clean(stack)


@pytest.fixture(scope="package")
def told() -> Iterator[Told]:
    """The golden image's stack, the story told up to the step before B leaves."""
    for told in stack_of_its_own("story", "golden"):
        steps = tuple(step for step in STEPS if step.id != LEAVING)
        with pytest.MonkeyPatch.context() as patch:
            told.heard.listen(patch)
            told.outcomes = {o.id: o for o in asyncio.run(tell_all(told.stack, 0.0, steps))}
        yield told


@pytest.fixture(scope="module")
def stock() -> Iterator[Told]:
    """A stack whose servers boot from the cloud's own image: packages come over the wire."""
    for told in stack_of_its_own("stock", "stock"):
        told.outcomes = {o.id: o for o in asyncio.run(tell_all(told.stack, 0.0, STEPS[:4]))}
        yield told
