"""Every check that docs/claims.md names exists: a sentence that nothing checks is a defect."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from demo.__main__ import STEPS

ROOT = Path(__file__).parents[2]


def rows() -> list[tuple[str, list[str]]]:
    """(claim, checks) of each row of the table."""
    table = [line for line in (ROOT / "docs/claims.md").read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1:]]
    return [(cell[0], re.findall(r"`([^`]+)`", cell[2])) for cell in cells]


def exists(check: str) -> bool:
    if check.startswith("demo: "):
        return check.removeprefix("demo: ") in {step.id for step in STEPS}
    if check == "self-test":
        return any((ROOT / "services/provisioner/hosts/self_test").glob("*.py"))
    path, _, name = check.partition("::")
    if not name:
        return (ROOT / path).exists()
    tree = ast.parse((ROOT / path).read_text())
    return name in {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_there_are_claims() -> None:
    assert len(rows()) >= 20


@pytest.mark.parametrize(("claim", "checks"), rows())
def test_claim_is_bound_to_checks_that_exist(claim: str, checks: list[str]) -> None:
    assert checks
    assert [check for check in checks if not exists(check)] == []


def test_a_check_that_does_not_exist_is_noticed() -> None:
    assert not exists("tests/contracts/test_claims.py::test_that_nobody_wrote")
    assert not exists("demo: z")
