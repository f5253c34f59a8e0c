import re
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter, ValidationError

from shared.clock import FixedClock, SystemClock
from shared.ids import WorkspaceId, id_pattern, new_id, uuid7_hex


def test_an_id_fits_its_own_pattern() -> None:
    assert re.fullmatch(id_pattern("srv"), new_id("srv"))


def test_the_digits_are_a_uuid_of_version_7_and_the_rfc_variant() -> None:
    digits = uuid7_hex(0x017F22E279B0, bytes.fromhex("330c8c4dc0c0c07398f0"))
    assert digits[:12] == "017f22e279b0"
    assert digits[12] == "7"
    assert digits[16] in "89ab"


def test_later_ids_sort_after_earlier_ones() -> None:
    assert uuid7_hex(1000) < uuid7_hex(1001) < uuid7_hex(2**47)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({uuid7_hex(5) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("prefix", ["", "x", "Srv", "server", "sr_", "a1"])
def test_a_prefix_outside_the_grammar_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        new_id(prefix)


@pytest.mark.parametrize(
    "text", ["ws_", "ws_" + "0" * 31, "srv_" + "0" * 32, "ws_" + "G" * 32, "ws_" + "0" * 32 + "\n"]
)
def test_an_id_type_takes_its_own_kind_only(text: str) -> None:
    adapter = TypeAdapter(WorkspaceId)
    with pytest.raises(ValidationError):
        adapter.validate_python(text)


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    assert clock.advance(timedelta(hours=1)) == datetime(2026, 1, 1, 1, tzinfo=UTC)


def test_clocks_are_aware() -> None:
    assert SystemClock().now().tzinfo is UTC
    with pytest.raises(ValueError, match="aware"):
        FixedClock(datetime(2026, 1, 1))
