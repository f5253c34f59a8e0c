"""Thousands of lives of a server, each with its own misfortunes: always exactly one running server, or none.

`SC_WALK_SEEDS=2000` is how many, `SC_WALK_SEEDS=17,4711` are which. A seed that fails prints what happened in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest

from tests.provisioner.reconciler import crashpoints
from tests.provisioner.simulation import mutants
from tests.provisioner.simulation.walk import Odds, Violation, walk_in_memory

MUTANT_SEEDS = 300
LEAVING = Odds(create=0.6, look=0, list=0, cancel=1)
"""Everybody leaves, and the cloud hides nothing: what a burial has missed cannot be the cloud's fault."""
LIVELY = Odds(cancel=0, lively=1)
ODDS: dict[Callable[[pytest.MonkeyPatch], None], Odds] = {
    mutants.a_server_is_buried_at_once: LEAVING,
    mutants.a_restart_is_not_remembered: LIVELY,
    mutants.who_owes_is_served_as_ever: LIVELY,
    mutants.a_domain_is_removed_in_the_books_alone: LIVELY,
}
RARE = {"sweep.after_tag", *crashpoints.MOVING, "step.leave_zone.before", "step.leave_zone.after"}
"""An orphan that has a disk; a zone that refuses every size."""
ELSEWHERE = {
    *crashpoints.PAYING,
    *crashpoints.REFUNDING,
    *crashpoints.ADOPTING,
    *crashpoints.HANDING_OVER,
    *crashpoints.HANDING_OVER_STEPS,
}
"""The inbox, the refunds and an operator's order are nobody's steps; one that moves has two servers, and a customer
here has one (`reconciler/test_moves_killed.py`)."""
PLACES = {*crashpoints.ALL} - ELSEWHERE
"""Where the simulated workers can die."""


def seeds(default: int) -> list[int]:
    given = os.environ.get("SC_WALK_SEEDS", str(default))
    return [int(one) for one in given.split(",")] if "," in given else list(range(int(given)))


def walk_all(which: Iterable[int], odds: Odds | None = None) -> set[str]:
    """All crashpoints that were come through."""
    return set().union(*(walk_in_memory(seed, odds).visited for seed in which))


def test_whatever_happens_there_is_one_running_server_or_none() -> None:
    chosen = seeds(2000)
    visited = walk_all(chosen)
    if len(chosen) >= 500:
        assert PLACES - visited <= RARE


@pytest.mark.parametrize("mutant", mutants.ALL, ids=lambda one: one.__name__)
def test_a_planted_defect_is_found(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    with pytest.raises(Violation) as found:
        walk_all(range(MUTANT_SEEDS), ODDS.get(mutant))
    assert "again: SC_WALK_SEEDS=" in found.value.__notes__[0]
