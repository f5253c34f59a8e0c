"""What a second factor is made of: codes of authenticators, recovery codes, and keys sealed at rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from services.auth.sealing import NotOpened, Sealing
from services.auth.second_factor import recovery_codes, totp

RFC_KEY = b"12345678901234567890"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
STEP = int(NOW.timestamp()) // 30


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    """Appendix B, the last six of its eight digits."""
    now = datetime.fromtimestamp(seconds, UTC)
    assert totp.code_at(RFC_KEY, now) == code
    assert totp.matching_step(RFC_KEY, code, now, 0) == seconds // 30


@pytest.mark.parametrize(("steps", "believed"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(steps: int, believed: bool) -> None:
    shown = totp.code_at(RFC_KEY, NOW + timedelta(seconds=30 * steps))
    assert totp.matching_step(RFC_KEY, shown, NOW, 0) == (STEP + steps if believed else None)


def test_a_step_that_was_used_and_those_before_it_do_not_match() -> None:
    for steps in (-1, 0):
        shown = totp.code_at(RFC_KEY, NOW + timedelta(seconds=30 * steps))
        assert totp.matching_step(RFC_KEY, shown, NOW, STEP) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "12 34", "-1", "\uff11" * 6, "0x1234"])
def test_what_is_no_code_does_not_match(code: str) -> None:
    assert totp.matching_step(RFC_KEY, code, NOW, 0) is None


def test_spaces_within_a_code_do_not_matter() -> None:
    shown = totp.code_at(RFC_KEY, NOW)
    assert totp.matching_step(RFC_KEY, f" {shown[:3]} {shown[3:]}", NOW, 0) == STEP


def test_an_authenticator_is_told_all_it_needs() -> None:
    uri = totp.uri(RFC_KEY, "ada@people.test")
    assert uri.startswith("otpauth://totp/SendChief:ada@people.test?")
    assert "secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" in uri
    assert "issuer=SendChief" in uri
    assert totp.secret_text(RFC_KEY) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.asvs("6.5.3", "6.5.4")
def test_ten_recovery_codes_have_ten_handles_and_fifty_random_bits_each() -> None:
    codes = recovery_codes.new_codes()
    assert len({code.handle for code in codes}) == len({code.secret for code in codes}) == 10
    assert {len(code.secret) for code in codes} == {10}
    assert all(recovery_codes.parse(code.text()) == code for code in codes)


def test_a_recovery_code_may_be_typed_as_it_is_read() -> None:
    code = recovery_codes.parse("01AB-CDEF-0110")
    assert code is not None
    for typed in ("01abcdef0110", " oIab cdef o1Lo ", "0LAB-CDEF-0i10"):
        assert recovery_codes.parse(typed) == code


@pytest.mark.parametrize(
    "text", ["", "123456", "01AB-CDEF-011", "01AB-CDEF-01100", "U1AB-CDEF-0110", "é" * 12]
)
def test_what_is_no_recovery_code_is_not_taken_for_one(text: str) -> None:
    assert recovery_codes.parse(text) is None


def test_the_representation_of_a_recovery_code_does_not_tell_it() -> None:
    code = recovery_codes.new_codes()[0]
    assert code.secret not in repr(code)


OLD, NEW = SecretStr("old " * 10), SecretStr("new " * 10)


def test_a_key_opens_for_its_own_account_only() -> None:
    sealing = Sealing("second_factor", NEW)
    sealed = sealing.seal(RFC_KEY, "usr_a")
    assert RFC_KEY not in sealed
    assert sealing.open(sealed, "usr_a") == RFC_KEY
    with pytest.raises(NotOpened):
        sealing.open(sealed, "usr_b")


@pytest.mark.parametrize("position", range(1 + 4 + 12 + 20 + 16))
def test_a_sealed_key_with_any_byte_changed_does_not_open(position: int) -> None:
    sealed = bytearray(Sealing("second_factor", NEW).seal(RFC_KEY, "usr_a"))
    sealed[position] ^= 1
    with pytest.raises(NotOpened):
        Sealing("second_factor", NEW).open(bytes(sealed), "usr_a")


def test_the_previous_key_still_opens_and_what_it_sealed_is_due_for_the_present_one() -> None:
    sealed = Sealing("second_factor", OLD).seal(RFC_KEY, "usr_a")
    both = Sealing("second_factor", NEW, OLD)
    assert both.open(sealed, "usr_a") == RFC_KEY
    assert both.outdated(sealed)
    assert not both.outdated(both.seal(RFC_KEY, "usr_a"))
    with pytest.raises(NotOpened):
        Sealing("second_factor", NEW).open(sealed, "usr_a")


def test_a_short_sealing_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 32"):
        Sealing("second_factor", SecretStr("short"))
