"""How suspicious a request's strings are. Light on purpose: a hit is counted and told, by itself it refuses nothing.

Services bind their SQL, escape their HTML and start no shells with what a caller wrote; this is how one learns that
somebody tries. A request whose signatures' weights reach THRESHOLD is called suspicious.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from gateway.filter.canonical import canonical, without_comments, without_quoting
from gateway.filter.signatures import CODE, SCANNERS, SIGNATURES, SQL

THRESHOLD: Final = 5
MAX_SCANNED: Final = 8 * 1024
"""Characters of one request; what is made to cost takes some milliseconds up to there."""
_TEXT: Final = tuple(signature for signature in SIGNATURES if signature.text)
_SHELL: Final = tuple(signature for signature in CODE if signature.name.startswith("shell."))
_PLAIN: Final = re.compile(r"[\w@.,:+\-!? \u00a0]*")
_WORDS: Final = re.compile(
    r"\b(?:(?:union|select|waitfor|javascript|order|group|or|and)\b|document|window|location|os\.|javax?\.|org\.|com\.|process\."
    r"|child_process|subprocess|sqlite_|pg_|sys[a-z]|mysql\.|all_t|user_t|msys|rdb)|_schema|\.\.|__|0x|@@"
)
"""What can be dangerous without any of the signs that `_PLAIN` leaves out."""


def signs(text: str, *, free_text: bool) -> tuple[tuple[str, int], ...]:
    """(name, weight) of what is found in one string."""
    if _PLAIN.fullmatch(text) and not _WORDS.search(text.lower()):
        return ()
    plain = canonical(text)
    chosen = _TEXT if free_text else SIGNATURES
    found = {item.name: item.weight for item in chosen if item.pattern.search(plain)}
    if "/*" in plain:
        bare = without_comments(plain)
        found |= {item.name: item.weight for item in SQL if item in chosen and item.pattern.search(bare)}
    if any(mark in plain for mark in "'\"\\^"):
        bare = without_quoting(plain)
        found |= {item.name: item.weight for item in _SHELL if item in chosen and item.pattern.search(bare)}
    return tuple(found.items())


def suspicious(strings: Iterable[tuple[str, bool]]) -> tuple[str, ...]:
    """Names of the signatures found in (text, is it free text) when together they reach the threshold, else none."""
    total, scanned, names = 0, 0, []
    for text, free_text in strings:
        scanned += len(text)
        if scanned > MAX_SCANNED:
            break
        for name, weight in signs(text, free_text=free_text):
            total += weight
            names.append(name)
    return tuple(dict.fromkeys(names)) if total >= THRESHOLD else ()


@lru_cache(maxsize=4096)
def of_user_agent(value: bytes) -> tuple[str, ...]:
    """The same for `User-Agent`; remembered, since a caller sends the same one each time."""
    text = value[:1024].decode("latin-1")
    if SCANNERS.search(text.lower()):
        return ("agent.scanner",)
    return suspicious([(text, True)])
