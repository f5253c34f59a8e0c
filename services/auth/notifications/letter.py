"""What a letter is and how it looks. Plain text and a simple HTML twin; no pictures, no trackers, no remote content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any


@dataclass(frozen=True)
class About:
    """What a letter can speak of. `data` is what was queued with it; `times` is how often it happened by now."""

    name: str = ""
    workspace: str = ""
    link: str = ""
    times: int = 1
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Letter:
    """Paragraphs of plain text. `link` stands on a line of its own after the first paragraph."""

    subject: str
    paragraphs: tuple[str, ...]
    link: str | None = None
    link_text: str = ""


def text_of(letter: Letter, unsubscribe: str | None = None) -> str:
    first, *rest = letter.paragraphs
    parts = [first, *([letter.link] if letter.link else []), *rest, "SendChief"]
    if unsubscribe:
        parts.append(f"{_WHY}\n{unsubscribe}")
    return "\n\n".join(parts) + "\n"


def html_of(letter: Letter, unsubscribe: str | None = None) -> str:
    first, *rest = (_paragraph(paragraph) for paragraph in letter.paragraphs)
    link = _link(letter.link, letter.link_text) if letter.link else ""
    end = f"<p><small>{_WHY} {_anchor(unsubscribe, 'Switch it off')}</small></p>" if unsubscribe else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(letter.subject)}</title></head>"
        f'<body style="font-family:sans-serif;line-height:1.5">{first}{link}'
        f"{''.join(rest)}<p>SendChief</p>{end}</body></html>"
    )


_WHY = "You can switch this kind of mail off without signing in:"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text).replace(chr(10), '<br>')}</p>"


def _link(url: str, text: str) -> str:
    return f"<p>{_anchor(url, text)}</p>"


def _anchor(url: str, text: str) -> str:
    return f'<a href="{escape(url, quote=True)}">{escape(text)}</a>'
