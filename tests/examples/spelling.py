"""What was random in a call, spelled so that everybody sees an example: the same at every run.

Ids become UUIDs of version 7 (RFC 9562) at the first instant of 2026, times count from that instant, names of hosts
and people are those of RFC 2606, addresses those of RFC 5737, secrets say that they are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MILLISECONDS: Final = int(START.timestamp() * 1000)
_STEP: Final = timedelta(minutes=5)
"""Things were made a moment before or after the call: times are told to the nearest five minutes."""

SECRETS: Final = {
    "access_token": "EXAMPLE-access-token",
    "code": "000000",
    "current_password": "EXAMPLE-present-password",
    "key": "sc_live_EXAMPLE",
    "new_password": "EXAMPLE-new-password",
    "otpauth_uri": "otpauth://totp/EXAMPLE",
    "password": "EXAMPLE-password",
    "recovery_codes": "EXAMPLE-recovery-code",
    "secret": "EXAMPLE",
    "prefix": "sc_live_EXAMPLE0",
    "token_hash": "RVhBTVBMRQ==",
    "token": "EXAMPLE-token-that-opens-nothing",
    "x": "EXAMPLE-x",
    "y": "EXAMPLE-y",
}
"""Members whose texts open something, or are random all through."""
NUMBERS: Final = {"sequence": 1}
"""Members whose numbers count what others did before."""
PEOPLE: Final = ("ada", "grace", "alan", "edsger", "barbara", "donald")
DOMAINS: Final = {"people.test": "example.com", "sendchief.test": "example.net"}
"""Any other name ending in `.test` is a customer's: example.org."""

_ID = re.compile(r"\b([a-z]{2,5})_[0-9a-f]{32}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")
_UUID = re.compile(r"\b[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}\b")
_EMAIL = re.compile(r"\b([\w.+-]+)@(?=[\w.-]+\.test\b)")
_HOST = re.compile(r"(?<![\w.-])((?:_[a-z-]+\.)*)((?:[a-z0-9-]+\.)+test)\b")
_LOOPBACK = re.compile(r"https://127\.0\.0\.1:\d+")
_OF_STRIPE = re.compile(r"\b(cs|cus|in|price|prod|bps|evt)_(test_)?(?!example)[A-Za-z0-9]{8,}")
_CHALLENGE = re.compile(r"(?<=sendchief-challenge=)[\w-]+")
_ADDRESS = re.compile(r"\b198\.51\.100\.\d+")
_HEX = re.compile(r"\b[0-9a-f]{8,}\b")


class Spelling:
    """Of one call: what is one thing in the request is one in the answer. `now` is when the call was made."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def spell(self, value: Any, member: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(name): self.spell(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [self.spell(item, member) for item in value]
        if isinstance(value, str):
            if member == "local_part":
                return self._person(value)
            return SECRETS[member] if member in SECRETS else self._text(value)
        return NUMBERS.get(member, value)

    def _text(self, text: str) -> str:
        rules: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
            (_TIME, self._time),
            (_EMAIL, lambda found: self._person(found[1]) + "@"),
            (_ID, self._id),
            (_UUID, lambda _: _uuid(1).upper()),
            (_HOST, self._host),
            (_LOOPBACK, lambda _: "https://pay.example.com"),
            (_OF_STRIPE, lambda found: f"{found[1]}_example"),
            (_CHALLENGE, lambda _: "EXAMPLE"),
            (_ADDRESS, lambda _: "198.51.100.1"),
            (_HEX, lambda found: _hex(len(found[0]))),
        )
        kept: list[str] = []
        for pattern, spelled in rules:
            text = pattern.sub(lambda found, spelled=spelled: _keep(kept, spelled(found)), text)  # type: ignore[misc]
        return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], text)

    def _id(self, found: re.Match[str]) -> str:
        if found[0] not in self._known:
            self._counts[found[1]] = number = self._counts.get(found[1], 0) + 1
            self._known[found[0]] = f"{found[1]}_{_uuid(number).replace('-', '')}"
        return self._known[found[0]]

    def _time(self, found: re.Match[str]) -> str:
        age = datetime.fromisoformat(found[0]) - self._now
        return f"{START + round(age / _STEP) * _STEP:%Y-%m-%dT%H:%M:%SZ}"

    def _host(self, found: re.Match[str]) -> str:
        labels, name = found.groups()
        zone = next((one for one in DOMAINS if name.endswith(one)), None)
        if zone is None:
            return labels + "example.org"
        return labels + re.sub(r"^s[0-9a-z]{6,}", "s1", name.removesuffix(zone)) + DOMAINS[zone]

    def _person(self, local_part: str) -> str:
        if local_part not in self._known:
            number = self._counts["@"] = self._counts.get("@", 0) + 1
            self._known[local_part] = PEOPLE[(number - 1) % len(PEOPLE)]
        return self._known[local_part]


def _uuid(number: int) -> str:
    milliseconds = f"{_MILLISECONDS:012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}"


def _hex(length: int) -> str:
    """A short one is a name that somebody needed to be the only one, a long one is a digest."""
    return "example" if length <= 16 else ("0123456789abcdef" * 4)[:length]


def _keep(kept: list[str], spelled: str) -> str:
    """A mark in place of what has been spelled, so that no later rule touches it."""
    kept.append(spelled)
    return f"\0{len(kept) - 1}\0"


def timeless(value: Any) -> Any:
    """For comparing two runs: how long ago something was made is a matter of how busy the machine is."""
    if isinstance(value, dict):
        return {name: timeless(item) for name, item in value.items()}
    if isinstance(value, list):
        return [timeless(item) for item in value]
    return _TIME.sub("T", value) if isinstance(value, str) else value
