"""The matrix notices when a protection is gone: a sample of the first wall in every run, all by `make mutation`.

SC_MUTANTS is how many (default 10), `all`, or a part of the names of those wanted; SC_SEED decides which ones;
SC_PART=2/9 takes the second of nine parts of them; SC_MUTATION_REPORT names a file for the outcome.
"""

from __future__ import annotations

import json
import os
import random
import tomllib
from pathlib import Path

import pytest

from tests.isolation.mutation import Mutant, all_mutants, of_the_first_wall
from tests.isolation.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAMPLE = 10
KNOWN: dict[str, str] = tomllib.loads(Path(__file__).with_name("survivors.toml").read_text("utf-8"))
"""Mutants that nothing can notice, with the reason."""


async def test_whatever_protection_is_taken_away_some_row_goes_red(whole: Stage) -> None:
    wanted, seed = os.environ.get("SC_MUTANTS", str(SAMPLE)), int(os.environ.get("SC_SEED", "3"))
    every = of_the_first_wall() if wanted.isdigit() else await all_mutants(whole)
    chosen = _chosen([mutant for mutant in every if mutant.name not in KNOWN], wanted, seed)
    outcome = {}
    for mutant in chosen:
        outcome[mutant.name] = await mutant.run(whole)
        _report(outcome)
    survived = [name for name, verdict in outcome.items() if verdict is None]
    assert not survived, f"seed {seed}, {len(survived)} of {len(outcome)} were not noticed: {survived}"


def _chosen(mutants: list[Mutant], wanted: str, seed: int) -> list[Mutant]:
    if wanted.isdigit():
        return random.Random(seed).sample(mutants, int(wanted))
    named = [mutant for mutant in mutants if wanted == "all" or wanted in mutant.name]
    part, parts = map(int, os.environ.get("SC_PART", "1/1").split("/"))
    return named[part - 1 :: parts]


def _report(outcome: dict[str, str | None]) -> None:
    file = os.environ.get("SC_MUTATION_REPORT")
    if file:
        killed = sum(verdict is not None for verdict in outcome.values())
        summary = {"mutants": len(outcome), "killed": killed, "outcome": outcome}
        Path(file).write_text(json.dumps(summary, indent=1))
