"""What is claimed of ASVS 5.0 is bound to something that runs or can be read."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests import asvs

LISTED = {each.id: each for each in asvs.requirements()}
MARKS = asvs.marks()


@pytest.mark.parametrize("requirement", [each.id for each in LISTED.values() if each.kept_by == "test"])
def test_requirement_is_kept_by_a_test(requirement: str) -> None:
    assert MARKS.get(requirement), f'no test is marked with @pytest.mark.asvs("{requirement}")'


def test_every_mark_is_of_a_requirement_that_is_claimed_so() -> None:
    unknown = {mark: tests for mark, tests in MARKS.items() if LISTED[mark].kept_by != "test"}
    assert unknown == {}


@pytest.mark.parametrize("requirement", [each.id for each in LISTED.values() if each.kept_by == "file"])
def test_document_that_keeps_a_requirement_is_there(requirement: str) -> None:
    path, _, heading = LISTED[requirement].why.partition("#")
    assert (asvs.ROOT / path).exists()
    assert heading in (asvs.ROOT / path).read_text("utf-8") if heading else True


@pytest.mark.parametrize("requirement", [each.id for each in LISTED.values() if each.kept_by == "lint"])
def test_rule_that_keeps_a_requirement_is_in_force(requirement: str) -> None:
    """A rule of ruff that is selected and not ignored, or an import contract."""
    tools = tomllib.loads((asvs.ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    lint, why = tools["ruff"]["lint"], LISTED[requirement].why
    rules = re.findall(r"\bS\d{3}\b", why)
    contracts = [each["name"] for each in tools["importlinter"]["contracts"] if each["name"] in why]
    assert rules or contracts
    assert "S" in lint["select"]
    assert not set(rules) & set(lint["ignore"])


def test_every_requirement_is_kept_some_way_or_says_why_not() -> None:
    assert len(LISTED) == len(asvs.requirements())
    for each in LISTED.values():
        assert each.kept_by in (*asvs.CLAIMED, "n/a", "later"), each.id
        assert each.kept_by == "test" or each.why, each.id
