"""Which passwords are refused: short ones, common and leaked ones, and those made of the words around the account.

No composition rules and no expiry (NIST SP 800-63B 5.1.1.2); everything is checked offline.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from pydantic import SecretStr

from shared.errors import Invalid
from shared.passwords.breached import BreachedPasswords

MIN_LENGTH = 12
MAX_LENGTH = 256  # longer input would only buy an attacker hashing time; NIST SP 800-63B asks for at least 64
_LISTS = tuple(Path(__file__).with_name(name) for name in ("common_passwords.txt", "leaked_passwords.txt"))
_LONGEST_COMMON = 40
_CONTEXT_WORDS = ("sendchief", "mailserver", "mailbox", "postmaster")
_LEET = str.maketrans("@4301!57$", "aaeoilsts")
_WALKS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik",
    "1q2w3e4r5t6y7u8i9o0p",
)


class PasswordRefused(Invalid):
    code = "password_refused"
    title = "This password is too easy to guess"

    def __init__(
        self,
        detail: str,
        *,
        next_action: str = "Choose another one: a sentence that nobody says is easy to keep.",
    ) -> None:
        super().__init__(detail, field="password", next_action=next_action)


class PasswordPolicy:
    """`breached` knows the passwords of known leaks, where an operator has given a file of them."""

    def __init__(self, breached: BreachedPasswords | None = None) -> None:
        self._breached = breached

    def check(self, password: SecretStr, *, email: str, name: str) -> None:
        """Raise PasswordRefused with the reason, or return. Nothing of the password is in the message."""
        _check_guessable(password, email=email, name=name)
        if self._breached is not None and password.get_secret_value() in self._breached:
            raise PasswordRefused("It was found in a leak of passwords.")


def _check_guessable(password: SecretStr, *, email: str, name: str) -> None:
    clear = password.get_secret_value()
    if len(clear) < MIN_LENGTH:
        raise PasswordRefused(f"Use at least {MIN_LENGTH} characters.")
    if len(clear) > MAX_LENGTH:
        raise PasswordRefused(f"Use at most {MAX_LENGTH} characters.")
    if not clear.isascii():
        try:
            clear.encode("utf-8")
        except UnicodeEncodeError:
            raise PasswordRefused("It holds characters that are not text.") from None
    folded = clear.casefold()
    if _is_common(folded):
        raise PasswordRefused("It is on the list of common passwords.")
    if _is_repetition(folded) or _is_walk(folded):
        raise PasswordRefused("It repeats a few characters or follows the keyboard.")
    if _is_context(folded, email, name):
        raise PasswordRefused("It is made of your name, your address or ours.")


def _is_common(folded: str) -> bool:
    """Whole, or padded with digits and signs on either side, or with signs for letters: `Password2026!!` and
    `p@ssw0rd1234` are `password`."""
    common = _common()
    if folded in common:
        return True
    letters = [place for place, character in enumerate(folded) if character.isalpha()] or [
        place for place, character in enumerate(folded) if character.isdigit()
    ]
    if not letters or letters[-1] - letters[0] > _LONGEST_COMMON:
        return False
    for start in range(letters[0] + 1):
        for end in range(letters[-1] + 1, min(len(folded), start + _LONGEST_COMMON) + 1):
            core = folded[start:end]
            if core in common or core.translate(_LEET) in common:
                return True
    return False


def _is_repetition(folded: str) -> bool:
    return len(set(folded)) < 5 or re.fullmatch(r"(.{1,8}?)\1+.{0,2}", folded, re.DOTALL) is not None


def _is_walk(folded: str) -> bool:
    """More than two thirds of it are runs of four or more along the alphabet, the digits or a keyboard row."""
    covered = 0
    position = 0
    while position < len(folded):
        run = _longest_run(folded, position)
        covered += run if run >= 4 else 0
        position += max(run, 1) if run >= 4 else 1
    return covered * 3 >= len(folded) * 2


def _longest_run(text: str, start: int) -> int:
    best = 0
    for walk in _WALKS:
        for direction in (walk, walk[::-1]):
            length = best + 1
            while start + length <= len(text) and text[start : start + length] in direction:
                best = length
                length += 1
    return best


def _is_context(folded: str, email: str, name: str) -> bool:
    """What is left once the words around the account are taken out must still be half a password."""
    local, _, domain = email.casefold().partition("@")
    words = {*_CONTEXT_WORDS, local, domain, *re.split(r"[^a-z0-9]+", f"{local} {domain} {name.casefold()}")}
    rest = folded
    for word in sorted((word for word in words if len(word) >= 4), key=len, reverse=True):
        rest = rest.replace(word, "")
    return len(rest.strip("0123456789!?.,*#_-+@ ")) < MIN_LENGTH // 2 and rest != folded


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    lines = [line for file in _LISTS for line in file.read_text("utf-8").splitlines()]
    return frozenset(line for line in lines if line and not line.startswith("#"))
