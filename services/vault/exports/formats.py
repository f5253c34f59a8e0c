"""How an export is written: one row per mailbox, generic column names.

CSV follows RFC 4180 (CRLF, quotes doubled, a header row). A text cell that a spreadsheet would take for a formula
gets an apostrophe in front (CWE-1236); passwords never need it, since they begin with a letter or digit.
Ports are those of implicit TLS (RFC 8314 section 3.3).
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, fields
from typing import Protocol

SMTP_PORT = 465
IMAP_PORT = 993
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, repr=False)
class Credential:
    """One row. The field order is the column order."""

    address: str
    smtp_host: str
    smtp_port: int
    smtp_security: str
    imap_host: str
    imap_port: int
    imap_security: str
    username: str
    password: str


COLUMNS = tuple(field.name for field in fields(Credential))


def credential(address: str, hostname: str, password: str) -> Credential:
    return Credential(
        address, hostname, SMTP_PORT, "tls", hostname, IMAP_PORT, "tls", username=address, password=password
    )


class Writer(Protocol):
    media_type: str

    def begin(self) -> str: ...

    def row(self, credential: Credential) -> str: ...

    def end(self) -> str: ...


class CsvWriter:
    media_type = "text/csv; charset=utf-8; header=present"

    def begin(self) -> str:
        return self._line(COLUMNS)

    def row(self, credential: Credential) -> str:
        cells = asdict(credential)
        return self._line(
            [value if name == "password" else _not_a_formula(value) for name, value in cells.items()]
        )

    def end(self) -> str:
        return ""

    def _line(self, cells: object) -> str:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(cells)  # type: ignore[arg-type]
        return line.getvalue()


class JsonWriter:
    """An array of objects with the same names as the CSV columns."""

    media_type = "application/json"

    def __init__(self) -> None:
        self._separator = ""

    def begin(self) -> str:
        return "["

    def row(self, credential: Credential) -> str:
        text = self._separator + json.dumps(asdict(credential))
        self._separator = ",\n"
        return text

    def end(self) -> str:
        return "]\n"


def writer(name: str) -> Writer:
    """The writer of a format. Raises KeyError for one that does not exist."""
    made: dict[str, type[CsvWriter] | type[JsonWriter]] = {"csv": CsvWriter, "json": JsonWriter}
    return made[name]()


def _not_a_formula(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value
