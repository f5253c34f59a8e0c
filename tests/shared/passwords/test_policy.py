"""Which passwords are refused."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.passwords import BreachedPasswords, PasswordPolicy, PasswordRefused
from shared.passwords.breached import build

LEAKED = Path(__file__).parents[3] / "shared/passwords/leaked_passwords.txt"


def check(password: str, breached: BreachedPasswords | None = None) -> None:
    PasswordPolicy(breached).check(SecretStr(password), email="grace.hopper@navy.test", name="Grace Hopper")


def refused(password: str) -> bool:
    try:
        check(password)
    except PasswordRefused:
        return True
    return False


@pytest.mark.asvs("6.2.1", "6.2.4", "6.2.11")
@pytest.mark.parametrize(
    "password",
    [
        "elevenchars",
        "x" * 257,
        "password2026",
        "Password1234!",
        "P@ssw0rd1234",
        "correcthorsebatterystaple",
        "aaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "qwertyuiop1234567",
        "zyxwvutsrqponm",
        "gracehopper1906",
        "hopper-grace-navy",
        "sendchief2026!",
        "\ud800 lone surrogate",
    ],
)
def test_guessable_passwords_are_refused(password: str) -> None:
    with pytest.raises(PasswordRefused) as refusal:
        check(password)
    assert password not in str(refusal.value)


@pytest.mark.asvs("6.2.5", "6.2.8", "6.2.9")
@pytest.mark.parametrize(
    "password",
    [
        "a long sentence nobody says",
        "vK7#pQ2!mZ9x",
        "тихая вода точит камень",
        "my password is a poem of Grace",
        "seventeen blue tractors",
        "🦊🦉🌲 in the wood",
    ],
)
def test_others_are_taken_as_they_are(password: str) -> None:
    check(password)


def test_the_five_thousand_most_common_passwords_are_refused_also_when_padded_to_the_length_asked_for() -> (
    None
):
    words = [line for line in LEAKED.read_text("utf-8").splitlines() if line[0] != "#"][:5000]
    words = [word for word in words if any(map(str.isalnum, word))]
    assert {"123456", "password", "qwerty"} <= set(words[:10])
    for form in ("{}", "{}2026!!!!!!", "{}123456789", "!!!!!!!!{}", "{}!@#$%^&*"):
        accepted = [word for word in words if not refused(form.format(word))]
        # A number that goes on into digits is another number, not a padded one.
        assert [word for word in accepted if word.lower() != word.upper() or not form[2:3].isdigit()] == [], (
            form
        )


def test_leaked_passwords_are_refused_by_a_filter_and_others_hardly_ever(tmp_path: Path) -> None:
    leaked = [f"leaked sentence number {number}" for number in range(2000)]
    lines = [f"{sha1(password)}:{number + 1}" for number, password in enumerate(leaked)]
    (tmp_path / "hashes.txt").write_text("\r\n".join(lines) + "\r\n")
    assert build(tmp_path / "hashes.txt", tmp_path / "breached.bloom") == 2000
    breached = BreachedPasswords(tmp_path / "breached.bloom")
    assert breached.entries == 2000
    assert all(password in breached for password in leaked)
    others = [f"{random.Random(number).getrandbits(80):x}" for number in range(5000)]
    assert sum(password in breached for password in others) < 25
    with pytest.raises(PasswordRefused, match="leak"):
        check(leaked[7], breached)
    check("another sentence nobody says", breached)


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()


@pytest.mark.parametrize("line", ["not a hash", "ABCD:3", "Z" * 40])
def test_a_file_that_holds_no_hashes_builds_nothing(tmp_path: Path, line: str) -> None:
    (tmp_path / "hashes.txt").write_text(f"{sha1('x')}:1\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        build(tmp_path / "hashes.txt", tmp_path / "breached.bloom")
    assert not (tmp_path / "breached.bloom").exists()


@pytest.mark.parametrize("content", [b"x", b"x" * 100])
def test_a_broken_filter_is_not_taken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "breached.bloom").write_bytes(content)
    with pytest.raises(ValueError, match="not a filter"):
        BreachedPasswords(tmp_path / "breached.bloom")


def test_half_a_filter_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "hashes.txt").write_text("\n".join(sha1(str(number)) for number in range(100)))
    build(tmp_path / "hashes.txt", tmp_path / "whole.bloom")
    (tmp_path / "half.bloom").write_bytes((tmp_path / "whole.bloom").read_bytes()[:-1])
    with pytest.raises(ValueError, match="not all of one"):
        BreachedPasswords(tmp_path / "half.bloom")
