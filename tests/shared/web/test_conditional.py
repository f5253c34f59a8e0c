"""`If-Match`: what matches a version, and what does not."""

from __future__ import annotations

import pytest

from shared.web.conditional import PreconditionFailed, etag, parse


@pytest.mark.parametrize("header", ['"7"', "*", ' "6", "7" ', '"x","7"'])
def test_a_tag_that_was_seen_lets_the_change_through(header: str) -> None:
    parse(header).check(7)


@pytest.mark.parametrize("header", ['"6"', 'W/"7"', '""', '"77"', '"6", "8"'])
def test_another_version_and_a_weak_tag_do_not_match(header: str) -> None:
    with pytest.raises(PreconditionFailed):
        parse(header).check(7)


@pytest.mark.parametrize("header", ["", "7", '"7', '"7" "8"', "w/7", '"a"b"'])
def test_what_is_no_tag_is_refused(header: str) -> None:
    with pytest.raises(PreconditionFailed):
        parse(header)


def test_a_tag_is_quoted() -> None:
    assert etag(3) == '"3"'
