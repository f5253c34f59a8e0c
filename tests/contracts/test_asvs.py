"""What is claimed of ASVS 5.0 is bound to something that runs or can be read."""

from __future__ import annotations

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


def test_every_requirement_is_kept_some_way_or_says_why_not() -> None:
    assert len(LISTED) == len(asvs.requirements())
    for each in LISTED.values():
        assert each.kept_by in (*asvs.CLAIMED, "n/a", "later"), each.id
        assert each.kept_by == "test" or each.why, each.id
