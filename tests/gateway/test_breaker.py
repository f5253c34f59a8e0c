"""The circuit breaker."""

from __future__ import annotations

from gateway.breaker import Breaker


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def broken() -> tuple[Breaker, Time]:
    time = Time()
    breaker = Breaker(time)
    for _ in range(5):
        assert breaker.admit()
        breaker.failed()
    return breaker, time


def test_five_failures_in_ten_seconds_open_it() -> None:
    breaker, _ = broken()
    assert breaker.open
    assert not breaker.admit()


def test_slow_failures_do_not() -> None:
    time = Time()
    breaker = Breaker(time)
    for _ in range(10):
        breaker.failed()
        time.now += 3
    assert not breaker.open


def test_after_two_seconds_one_may_try() -> None:
    breaker, time = broken()
    time.now += 2
    assert [breaker.admit(), breaker.admit()] == [True, False]
    breaker.succeeded()
    assert breaker.admit()
    assert not breaker.open


def test_a_failed_try_keeps_it_open_and_an_abandoned_one_lets_another_try() -> None:
    breaker, time = broken()
    time.now += 2
    assert breaker.admit()
    breaker.failed()
    assert not breaker.admit()
    time.now += 2
    assert breaker.admit()
    breaker.abandoned()
    assert breaker.admit()


def test_a_success_forgets_failures() -> None:
    breaker = Breaker(Time())
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert not breaker.open
