"""Writing rows in a format of the catalogue.

CSV follows RFC 4180 (CRLF, quotes doubled, a header row). A text cell that a spreadsheet would take for a formula
gets an apostrophe in front (CWE-1236); passwords are never altered, and never need it, since they begin with a letter
or digit.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Protocol

from services.vault.exports.catalogue import ExportFormat, formats, placeholder
from services.vault.exports.credential import TEXTS, Credential

Cell = str | int
# Spreadsheets of some locales read the full-width forms as the plain ones.
_STARTS = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_texts = attrgetter(*TEXTS)


class Writer(Protocol):
    media_type: str

    def begin(self) -> str: ...

    def rows(self, credentials: Iterable[Credential]) -> str: ...

    def end(self) -> str: ...


class CsvWriter:
    media_type = "text/csv; charset=utf-8; header=present"

    def __init__(self, columns: list[list[str]]) -> None:
        self._headers = [header for header, _ in columns]
        self._cells = [_cell(value) for _, value in columns]

    def begin(self) -> str:
        return _lines([self._headers])

    def rows(self, credentials: Iterable[Credential]) -> str:
        return _lines([cell(one) for cell in self._cells] for one in map(_harmless, credentials))

    def end(self) -> str:
        return ""


class JsonWriter:
    """An array of objects whose names are the headers."""

    media_type = "application/json"

    def __init__(self, columns: list[list[str]]) -> None:
        self._cells = [(header, _cell(value)) for header, value in columns]
        self._separator = ""

    def begin(self) -> str:
        return "["

    def rows(self, credentials: Iterable[Credential]) -> str:
        text = io.StringIO()
        for credential in credentials:
            text.write(self._separator)
            json.dump({header: cell(credential) for header, cell in self._cells}, text)
            self._separator = ",\n"
        return text.getvalue()

    def end(self) -> str:
        return "]\n"


def writer(name: str) -> Writer:
    """The writer of a format. Raises KeyError for one that does not exist."""
    return writer_of(formats()[name])


def writer_of(format: ExportFormat) -> Writer:
    return CsvWriter(format.columns) if format.kind == "csv" else JsonWriter(format.columns)


def _cell(value: str) -> Callable[[Credential], Cell]:
    name = placeholder(value)
    return (lambda _: value) if name is None else attrgetter(name)


def _lines(rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _harmless(credential: Credential) -> Credential:
    """With an apostrophe in front of each text that would be a formula."""
    formulas = {
        name: "'" + text for name, text in zip(TEXTS, _texts(credential), strict=True) if text[:1] in _STARTS
    }
    return credential._replace(**formulas) if formulas else credential
