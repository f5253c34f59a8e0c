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
from services.vault.exports.credential import TEXTS, Credential

Cell = str | int
Columns = dict[str, Sequence[Any]]
# Spreadsheets of some locales read the full-width forms as the plain ones.
_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_first = itemgetter(slice(0, 1))


class Writer(Protocol):
    media_type: str

    def begin(self) -> str: ...

    def rows(self, credentials: Iterable[Credential]) -> str: ...

    def end(self) -> str: ...


class CsvWriter:
    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: list[list[str]]) -> None:
        self._headers = [header for header, _ in columns]
        self._cells = _Cells([value for _, value in columns])

    def begin(self) -> str:
        return _lines([self._headers])

    def rows(self, credentials: Iterable[Credential]) -> str:
        return _lines(self._cells.rows(_harmless(_columns(credentials))))

    def end(self) -> str:
        return ""


class JsonWriter:
    """An array of objects whose names are the headers."""

    media_type = "application/json"

    def __init__(self, columns: list[list[str]]) -> None:
        self._headers = [header for header, _ in columns]
        self._cells = _Cells([value for _, value in columns])
        self._separator = ""

    def begin(self) -> str:
        return "["

    def rows(self, credentials: Iterable[Credential]) -> str:
        text = io.StringIO()
        for row in self._cells.rows(_columns(credentials)):
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
    """The cells of rows: fields of the credentials, and texts that are the same in every row."""

    def __init__(self, values: Sequence[str]) -> None:
        self._values = [(value, placeholder(value)) for value in values]

    def rows(self, columns: Columns) -> Iterable[tuple[Cell, ...]]:
        count = len(columns["address"])
        return zip(
            *(
                itertools.repeat(value, count) if name is None else columns[name]
                for value, name in self._values
            ),
            strict=True,
        )


def _lines(rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _columns(credentials: Iterable[Credential]) -> Columns:
    """By field, since what is done for a column at once costs a row little."""
    columns = list(zip(*credentials, strict=True)) or [()] * len(Credential._fields)
    return dict(zip(Credential._fields, columns, strict=True))


def _harmless(columns: Columns) -> Columns:
    """With an apostrophe in front of each text that would be a formula."""
    harmless: Columns = {
        name: ["'" + text if text[:1] in _STARTS else text for text in columns[name]]
        for name in TEXTS
        if not _STARTS.isdisjoint(map(_first, columns[name]))
    }
    return columns | harmless
