"""One spelling of a string, so that a signature need not know all the others.

What is looked at is this copy; what goes on is what was sent.
"""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final
from urllib.parse import unquote

MAX_CHARACTERS: Final = 2048
"""No member that a service declares is longer; what is beyond is refused there."""
PASSES: Final = 3
_ESCAPE: Final = re.compile(r"\\u\{([0-9a-f]{1,6})\}|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})", re.IGNORECASE)
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\x00-\x08\x0e-\x1f]")
_BLANKS: Final = re.compile(r"[ \t\v\f\u00a0]+")
_SQL_COMMENT: Final = re.compile(r"/\*!?\d{0,6}(.{0,200}?)\*/", re.DOTALL)
_QUOTING: Final = re.compile(r"[\\'\"^]|\$@")


def canonical(text: str) -> str:
    """Escapes of URLs, of scripts and of HTML undone (three layers of them), compatibility forms folded, lower case,
    invisible characters dropped, blanks collapsed."""
    text = text[:MAX_CHARACTERS]
    for _ in range(PASSES):
        before = text
        if "%" in text:
            text = unquote(text, errors="replace")
        if "\\" in text:
            text = _ESCAPE.sub(_character, text)
        if "&" in text:
            text = html.unescape(text)
        if text == before:
            break
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _BLANKS.sub(" ", _INVISIBLE.sub("", text)).lower()


def without_comments(text: str) -> str:
    """SQL with comments as blanks and, after a line feed, with none; what MySQL executes of them stays."""

    def bare(gap: str) -> str:
        return _SQL_COMMENT.sub(lambda found: gap + (found[1] if found[0][2] == "!" else "") + gap, text)

    return _BLANKS.sub(" ", f"{bare(' ')}\n{bare('')}")


def without_quoting(text: str) -> str:
    """A shell's view: quotes, carets and backslashes inside of a word vanish."""
    return _QUOTING.sub("", text)


def _character(found: re.Match[str]) -> str:
    number = int(found[1] or found[2] or found[3], 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else " "
