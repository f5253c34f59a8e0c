"""Requests of people who mean no harm: what the filter must let pass without a word.

Names, companies and notes as customers of a mail host write them, in several languages, with the apostrophes, slashes,
dollar signs, markup and half sentences of SQL that turn up in real ones; and identifiers as the API's own answers give
them. All written for this test; no person is meant.
"""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
NAMES: Final = (
    "Ada Lovelace", "Seán O'Brien", "D'Angelo & Sons", "Zoë Müller-Lüdenscheidt", "Jean-Luc d'Arc",
    "María José Núñez", "Łukasz Żółć", "Ngọc Trần", "Иван Петров", "Ελένη Παπαδοπούλου", "山田 太郎", "김민수",
    "محمد علي", "דוד כהן", "Björk Guðmundsdóttir", "İbrahim Çelik", "Nguyễn Văn A.", "John \"Jack\" Smith",
    "Smith, John (Sales)", "Dr. med. A. Select", "Union Carpenters Local 12", "Drop Shipping GmbH", "Null, Christopher",
    "Table & Chair Ltd", "Group By Design", "Order By Phone Inc.", "O'Or and Sons", "And/Or Labs", "Cat & Whoami Ltd",
    "50% Off Outlet", "A+B=C Maths Tuition", "#1 Plumbers", "@Home Care", "C++ & C# Consulting", "Script Doctors LLP",
    "Eval Insurance", "Where Else? Travel", "SELECT Specialty Hospital", "Insert Coin Arcade", "Like Minds", "O'Reilly",
    "¿Qué? S.L.", "Ærø Færge A/S", "T-Online/Telekom", "R&D", "Müller; Maier & Co.", "x=y Studio", "Alert(ed) Press",
    "Conan O\u2019Neill",
)  # fmt: skip
TEMPLATES: Final = (
    "{0}", "{0} (billing)", "Mailbox of {0}", "asked by {0} on the phone", "{0} - marketing & sales",
    "for {0}; please hurry", "{0} left the company, close it", "re: {0}'s request #4711", "\"{0}\" as on the invoice",
    "{0} / {1}", "{0} and {1}", "{0} or {1}, whoever answers first", "moved from {0} to {1}",
    "Hi {0}, can you confirm (by mail)?", "{0} & {1} <info@example.com>",
)  # fmt: skip


def free_text() -> list[str]:
    """Names and notes."""
    curated: list[str] = json.loads((_HERE / "free_text.json").read_text("utf-8"))
    pairs = list(zip(NAMES, NAMES[7:] + NAMES[:7], strict=True))
    return curated + [template.format(*pair) for template, pair in itertools.product(TEMPLATES, pairs)]


def identifiers() -> list[str]:
    """Addresses, host names, ids, tokens of lists: everything that is not prose."""
    curated: list[str] = json.loads((_HERE / "identifiers.json").read_text("utf-8"))
    hexes = [f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}" for number in range(1, 400)]
    prefixes = (
        "ws",
        "usr",
        "srv",
        "dom",
        "mbx",
        "zon",
        "pln",
        "job",
        "key",
        "exp",
        "ptk",
        "sub",
        "inv",
        "mem",
    )
    ids = [f"{prefix}_{digits}" for prefix, digits in zip(itertools.cycle(prefixes), hexes, strict=False)]
    cursors = [
        base64.urlsafe_b64encode(json.dumps(["2026-11-23T01:02:03.000004+00:00", identifier]).encode())
        .decode()
        .rstrip("=")
        for identifier in ids[:100]
    ]
    return (
        curated
        + ids
        + cursors
        + [base64.b64encode(bytes.fromhex(digits) * 3).decode() for digits in hexes[:100]]
    )
