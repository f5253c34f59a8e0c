"""The list of crashpoints and the code agree, so that none is left out of the tests that kill at each."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from services.provisioner.reconciler.plan import ABSENT, PRESENT
from tests.fixtures import run
from tests.provisioner.reconciler import crashpoints

PLACES = {
    "{recipe.kind}": crashpoints.KINDS,
    "{step.name}": tuple(step.name for step in (*PRESENT, *ABSENT)),
}


def _in_code() -> Iterator[str]:
    """The argument of each `crashpoint(...)` in the provisioner, with its placeholders filled in."""
    for file in sorted((run.ROOT / "services/provisioner").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "crashpoint":
                text = ast.unparse(node.args[0])[1:].strip("'\"")
                place = next((name for name in PLACES if name in text), None)
                yield from (
                    [text.replace(place, one) for one in PLACES[place]]
                    if place
                    else [ast.literal_eval(node.args[0])]
                )


def test_the_list_and_the_code_agree() -> None:
    assert Counter(_in_code()) == Counter(crashpoints.ALL)


def test_names_of_steps_are_unique_over_both_plans() -> None:
    names = [step.name for step in (*PRESENT, *ABSENT)]
    assert len(set(names)) == len(names)
