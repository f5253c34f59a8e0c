"""Writing rows in a format of the catalogue.

CSV follows RFC 4180 (CRLF, quotes doubled, a header row). A text cell that a spreadsheet would take for a formula
gets an apostrophe in front (CWE-1236); passwords are never altered, and never need it, since they begin with a letter
or digit. Lines are made from a template whose constants are quoted once, and columns are looked through as a whole: the
csv module, which looks at each cell for itself, takes twice as long, which was a tenth of an export.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Protocol

from services.vault.exports.catalogue import ExportFormat, formats, placeholder
from services.vault.exports.credentials import NUMBERS, PLACEHOLDERS, TEXTS, Cell, Credentials

# Spreadsheets of some locales read the full-width forms as the plain ones.
_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_first = itemgetter(slice(0, 1))
_to_be_quoted = re.compile('[",\r\n]').search


class Writer(Protocol):
    media_type: str

    def begin(self) -> str: ...

    def rows(self, credentials: Credentials) -> str: ...

    def end(self) -> str: ...


class CsvWriter:
    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: list[list[str]]) -> None:
        self._header = ",".join(_quoted([header for header, _ in columns])) + "\r\n"
        named = [(value, placeholder(value)) for _, value in columns]
        self._names = [name for _, name in named if name is not None]
        cells = [
            "%s" if name is not None else _quoted([value])[0].replace("%", "%%") for value, name in named
        ]
        self._line = ",".join(cells) + "\r\n"

    def begin(self) -> str:
        return self._header

    def rows(self, credentials: Credentials) -> str:
        made = {name: self._column(name, credentials) for name in set(self._names)}
        return "".join(
            [self._line % cells for cells in zip(*(made[name] for name in self._names), strict=True)]
        )

    def _column(self, name: str, credentials: Credentials) -> Sequence[Cell]:
        cells: Sequence[Any] = PLACEHOLDERS[name](credentials)
        if name in NUMBERS:
            return cells
        return _quoted(_harmless(cells) if name in TEXTS else cells)

    def end(self) -> str:
        return ""


class JsonWriter:
    """An array of objects whose names are the headers."""

    media_type = "application/json"

    def __init__(self, columns: list[list[str]]) -> None:
        self._values = [(header, value, placeholder(value)) for header, value in columns]
        self._separator = ""

    def begin(self) -> str:
        return "["

    def rows(self, credentials: Credentials) -> str:
        text = io.StringIO()
        made = {name: PLACEHOLDERS[name](credentials) for _, _, name in self._values if name is not None}
        for number in range(len(credentials.address)):
            text.write(self._separator)
            row = {
                header: value if name is None else made[name][number] for header, value, name in self._values
            }
            text.write(json.dumps(row))
            self._separator = ",\n"
        return text.getvalue()

    def end(self) -> str:
        return "]\n"


def writer(name: str) -> Writer:
    """The writer of a format. Raises KeyError for one that does not exist."""
    return writer_of(formats()[name])


def writer_of(format: ExportFormat) -> Writer:
    return CsvWriter(format.columns) if format.kind == "csv" else JsonWriter(format.columns)


def _quoted(texts: Sequence[str]) -> Sequence[str]:
    """Cells as RFC 4180 section 2 wants them (6. and 7.)."""
    if not _to_be_quoted("".join(texts)):
        return texts
    return ['"' + text.replace('"', '""') + '"' if _to_be_quoted(text) else text for text in texts]


def _harmless(texts: Sequence[str]) -> Sequence[str]:
    """With an apostrophe in front of each text that would be a formula."""
    if _STARTS.isdisjoint(map(_first, texts)):
        return texts
    return ["'" + text if text[:1] in _STARTS else text for text in texts]
