"""Faults are used up as armed; habits strike at places fixed by the seed."""

from __future__ import annotations

import pytest
from starlette.responses import JSONResponse, Response

from sandbox.faults import Fault, Faults, Habit, obey

SLOW = Habit("acme", "orders.create", 4, Fault("delay", seconds=1), "one order in 4 is slow")


def test_an_armed_fault_spoils_as_many_calls_as_asked() -> None:
    faults = Faults(quiet=True)
    faults.arm("acme", "orders.create", Fault("error_before", status=500, count=2))
    kinds = [faults.take("acme", "orders.create") for _ in range(3)]
    assert [each.kind if each else None for each in kinds] == ["error_before", "error_before", None]


def test_a_star_meets_any_operation_of_its_vendor_only() -> None:
    faults = Faults(quiet=True)
    faults.arm("acme", "*", Fault("rate_limit"))
    assert faults.take("other", "orders.create") is None
    assert faults.take("acme", "anything") is not None


def test_a_habit_strikes_once_per_round_and_at_the_same_place_for_the_same_seed() -> None:
    def struck(seed: int) -> list[bool]:
        faults = Faults(seed=seed, habits=[SLOW])
        return [faults.take("acme", "orders.create") is not None for _ in range(12)]

    assert sum(struck(1)) == 3
    assert struck(1) == struck(1)
    assert len({tuple(struck(seed)) for seed in range(20)}) > 1


def test_quiet_and_silenced_vendors_have_no_habits() -> None:
    every_time = Habit("acme", "orders.create", 1, Fault("delay", seconds=1), "always slow")
    assert Faults(habits=[every_time], quiet=True).take("acme", "orders.create") is None
    faults = Faults(habits=[every_time])
    faults.habits_on("acme", False)
    assert faults.take("acme", "orders.create") is None
    faults.habits_on("acme", True)
    assert faults.take("acme", "orders.create") == every_time.fault


@pytest.mark.parametrize(
    "broken", [{"kind": "unknown"}, {"kind": "delay", "count": 0}, {"kind": "delay", "status": 200}]
)
def test_a_senseless_fault_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown kind|count must be"):
        Fault(**broken)  # type: ignore[arg-type]


async def test_an_answer_lost_after_commit_ran_the_call_and_one_refused_before_did_not() -> None:
    done: list[str] = []

    async def call() -> Response:
        done.append("committed")
        return JSONResponse({"ok": True})

    def refuse(fault: Fault) -> Response:
        return JSONResponse({}, status_code=fault.status)

    before = await obey(Fault("error_before", status=502), call, refuse)
    assert (before.status_code, done) == (502, [])
    after = await obey(Fault("error_after_commit", status=504), call, refuse)
    assert (after.status_code, done) == (504, ["committed"])
    assert (await obey(None, call, refuse)).status_code == 200
    assert b"<html>" in bytes((await obey(Fault("malformed"), call, refuse)).body)
