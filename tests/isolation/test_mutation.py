"""The matrix notices when a protection is gone: all by `make mutation`; in every run each workspace condition, and a
sample of the permission table and of the services' checks.

SC_MUTANTS is how large the sample is (default 10), `all`, or a part of the names of those wanted; SC_SEED decides about
the sample; SC_PART=2/9 takes the second of nine parts of those wanted; SC_MUTATION_REPORT names a file for the outcome.
"""

from __future__ import annotations

import json
import os
import random
import tomllib
from pathlib import Path

import pytest

from tests.isolation.conditions import red_anyway
from tests.isolation.mutation import Mutant, all_mutants
from tests.isolation.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAMPLE = 10
KNOWN: dict[str, str] = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text("utf-8"))
"""Mutants that nothing can notice, with the reason."""


async def test_whatever_protection_is_taken_away_some_row_goes_red(whole: Stage) -> None:
    wanted, seed = os.environ.get("SC_MUTANTS", str(SAMPLE)), int(os.environ.get("SC_SEED", "3"))
    every = [mutant for mutant in await all_mutants(whole) if mutant.name not in KNOWN]
    chosen = _sampled(every, int(wanted), seed) if wanted.isdigit() else _named(every, wanted)
    outcome = {}
    for mutant in chosen:
        outcome[mutant.name] = await mutant.run(whole)
        _report(outcome)
    survived = [name for name, verdict in outcome.items() if verdict is None]
    assert not survived, (
        f"seed {seed}, {len(survived)} of {len(outcome)} were not noticed: {survived}. "
        "Of a condition: give its function a line in functions.py"
    )


async def test_every_survivor_that_is_listed_is_a_mutant(whole: Stage) -> None:
    assert set(KNOWN) <= {mutant.name for mutant in await all_mutants(whole)}


def _sampled(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    walls = [mutant for mutant in mutants if mutant.wall == "first"]
    return [
        *random.Random(seed).sample(walls, size),
        *(mutant for mutant in mutants if mutant.wall == "condition"),
    ]


def _named(mutants: list[Mutant], wanted: str) -> list[Mutant]:
    named = [mutant for mutant in mutants if wanted == "all" or wanted in mutant.name]
    part, parts = map(int, os.environ.get("SC_PART", "1/1").split("/"))
    return named[part - 1 :: parts]


def _report(outcome: dict[str, str | None]) -> None:
    file = os.environ.get("SC_MUTATION_REPORT")
    if file:
        killed = sum(verdict is not None for verdict in outcome.values())
        summary = {
            "mutants": len(outcome),
            "killed": killed,
            "rows_red_anyway": red_anyway(),
            "outcome": outcome,
        }
        Path(file).write_text(json.dumps(summary, indent=1))
