"""Which passwords are refused."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.auth import password_policy
from services.auth.errors import PasswordRefused


def check(password: str) -> None:
    password_policy.check(SecretStr(password), email="grace.hopper@navy.test", name="Grace Hopper")


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
