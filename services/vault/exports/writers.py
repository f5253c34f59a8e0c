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
from operator import attrgetter, itemgetter
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
        self._cells = _Cells([value for _, value in columns])

    def begin(self) -> str:
        return _lines([self._headers])

    def rows(self, credentials: Iterable[Credential]) -> str:
        return _lines(map(self._cells.of, map(_harmless, credentials)))

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
        for credential in credentials:
            text.write(self._separator)
            text.write(json.dumps(dict(zip(self._headers, self._cells.of(credential), strict=True))))
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
    """The cells of a row: fields of the credential, and texts that are the same in every row."""

    def __init__(self, values: Sequence[str]) -> None:
        names = [placeholder(value) for value in values]
        self._fixed = tuple(value for value, name in zip(values, names, strict=True) if name is None)
        fixed_at = itertools.count(len(Credential._fields))
        places = [next(fixed_at) if name is None else Credential._fields.index(name) for name in names]
        self._take = itemgetter(
            *places, 0
        )  # one more, so that it gives a tuple also when there is one column

    def of(self, credential: Credential) -> tuple[Cell, ...]:
        cells: tuple[Cell, ...] = self._take(credential + self._fixed)
        return cells[:-1]


def _lines(rows: Iterable[Sequence[Cell]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _harmless(credential: Credential) -> Credential:
    """With an apostrophe in front of each text that would be a formula."""
    texts = _texts(credential)
    if _STARTS.isdisjoint([text[:1] for text in texts]):
        return credential
    harmless = ("'" + text if text[:1] in _STARTS else text for text in texts)
    return credential._replace(**dict(zip(TEXTS, harmless, strict=True)))
