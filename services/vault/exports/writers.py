"""Writing rows in a format of the catalogue.

CSV follows RFC 4180 (CRLF, quotes doubled, a header row). A text cell that a spreadsheet would take for a formula
gets an apostrophe in front (CWE-1236); passwords are never altered, and never need it, since they begin with a letter
or digit.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any, Protocol

from services.vault.exports.catalogue import ExportFormat, formats, placeholder
from services.vault.exports.credentials import PLACEHOLDERS, TEXTS, Cell, Credentials

# Spreadsheets of some locales read the full-width forms as the plain ones.
_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_first = itemgetter(slice(0, 1))


class Writer(Protocol):
    media_type: str

    def begin(self) -> str: ...

    def rows(self, credentials: Credentials) -> str: ...

    def end(self) -> str: ...


class CsvWriter:
    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: list[list[str]]) -> None:
        self._headers = [header for header, _ in columns]
        self._cells = _Cells([value for _, value in columns], harmless=True)

    def begin(self) -> str:
        return _lines([self._headers])

    def rows(self, credentials: Credentials) -> str:
        return _lines(self._cells.rows(credentials))

    def end(self) -> str:
        return ""


class JsonWriter:
    """An array of objects whose names are the headers."""

    media_type = "application/json"

    def __init__(self, columns: list[list[str]]) -> None:
        self._headers = [header for header, _ in columns]
        self._cells = _Cells([value for _, value in columns], harmless=False)
        self._separator = ""

    def begin(self) -> str:
        return "["

    def rows(self, credentials: Credentials) -> str:
        text = io.StringIO()
        for row in self._cells.rows(credentials):
            text.write(self._separator)
            text.write(json.dumps(dict(zip(self._headers, row, strict=True))))
            self._separator = ",\n"
        return text.getvalue()

    def end(self) -> str:
        return "]\n"


def writer(name: str) -> Writer:
    """The writer of a format. Raises KeyError for one that does not exist."""
    return writer_of(formats()[name])


def writer_of(format: ExportFormat) -> Writer:
    return CsvWriter(format.columns) if format.kind == "csv" else JsonWriter(format.columns)


class _Cells:
    """The cells of rows: columns made of the credentials, and texts that are the same in every row. `harmless`: an
    apostrophe stands in front of each text that would be a formula."""

    def __init__(self, values: Sequence[str], *, harmless: bool) -> None:
        self._values = [(value, placeholder(value)) for value in values]
        self._harmless = TEXTS if harmless else frozenset[str]()

    def rows(self, credentials: Credentials) -> Iterable[tuple[Cell, ...]]:
        made = {name: self._column(name, credentials) for _, name in self._values if name is not None}
        count = len(credentials.address)
        return zip(
            *(itertools.repeat(value, count) if name is None else made[name] for value, name in self._values),
            strict=True,
        )

    def _column(self, name: str, credentials: Credentials) -> Sequence[Cell]:
        made = PLACEHOLDERS[name](credentials)
        return _harmless(made) if name in self._harmless else made


class _Lines(list[str]):
    """Where a CSV writer may write: a list takes half the time of a file in memory."""

    write = list.append


def _lines(rows: Iterable[Sequence[Cell]]) -> str:
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)


def _harmless(texts: Sequence[Any]) -> Sequence[str]:
    if _STARTS.isdisjoint(map(_first, texts)):
        return texts
    return ["'" + text if text[:1] in _STARTS else text for text in texts]
