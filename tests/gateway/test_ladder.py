"""What a sender is due: step by step up, by itself down again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.filter.ladder import (
    BLOCK_POINTS,
    CHALLENGE_POINTS,
    DELAY_POINTS,
    LEAK_PER_SECOND,
    MAX_SENDERS,
    Ladder,
    Rung,
    network_of,
    sender_of,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ladder(clock: Clock) -> Ladder:
    return Ladder(900, clock)


def test_each_rung_is_reached_in_turn_and_told_once(ladder: Ladder) -> None:
    told = [ladder.add("a", 2) for _ in range(int(BLOCK_POINTS / 2))]
    assert [rung for rung in told if rung is not None] == [Rung.DELAY, Rung.CHALLENGE, Rung.BLOCK]
    assert ladder.due("a").rung is Rung.BLOCK
    assert ladder.due("b").rung is Rung.OBSERVE


def test_points_leak_away(ladder: Ladder, clock: Clock) -> None:
    ladder.add("a", CHALLENGE_POINTS + 10)
    due = ladder.due("a")
    assert due.rung is Rung.CHALLENGE
    clock.now += due.seconds + 1
    assert ladder.due("a").rung is Rung.DELAY
    clock.now += CHALLENGE_POINTS / LEAK_PER_SECOND
    assert ladder.due("a").rung is Rung.OBSERVE


def test_a_block_ends_by_itself_and_begins_again_for_who_goes_on(ladder: Ladder, clock: Clock) -> None:
    ladder.block("a")
    assert ladder.due("a").seconds == 900
    clock.now += 901
    assert ladder.due("a").rung is Rung.OBSERVE
    assert ladder.add("a", BLOCK_POINTS) is Rung.BLOCK


def test_success_makes_up_for_failure(ladder: Ladder) -> None:
    for _ in range(300):
        ladder.add("a", 1)
        ladder.credit("a", 0.5)
        ladder.credit("a", 0.5)
    assert ladder.due("a").rung is Rung.OBSERVE


def test_the_same_thing_again_is_no_search(ladder: Ladder) -> None:
    assert ladder.is_new("a", b"/v1/x")
    assert not ladder.is_new("a", b"/v1/x")
    assert ladder.is_new("a", b"/v1/y")
    assert ladder.is_new("b", b"/v1/x")


def test_the_memory_is_bounded(ladder: Ladder) -> None:
    for number in range(MAX_SENDERS + 10):
        ladder.add(str(number), 1)
    assert len(ladder._senders) == MAX_SENDERS


@given(st.lists(st.tuples(st.sampled_from(["add", "credit", "wait"]), st.floats(0, 50))))
def test_nobody_is_refused_below_the_limit(steps: list[tuple[str, float]]) -> None:
    clock = Clock()
    ladder, given_points = Ladder(900, clock), 0.0
    for kind, amount in steps:
        if kind == "add":
            ladder.add("a", amount)
            given_points += amount
        elif kind == "credit":
            ladder.credit("a", amount)
        else:
            clock.now += amount
        if given_points < DELAY_POINTS:
            assert ladder.due("a").rung is Rung.OBSERVE


def test_who_is_judged_by_what() -> None:
    assert sender_of("usr_1", "192.0.2.1") == "usr_1"
    assert sender_of(None, "192.0.2.1") == "192.0.2.1"
    assert sender_of(None, "2001:db8:1:2:3::4") == "2001:db8:1:2::/64"
    assert sender_of(None, None) is None
    assert network_of("192.0.2.77") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::1") == "2001:db8:1::/48"
