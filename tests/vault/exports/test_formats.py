from __future__ import annotations

import csv
import io
import json

import pytest

from services.vault.exports import formats


def test_csv_quotes_what_needs_quotes() -> None:
    line = formats.CsvWriter().row(formats.credential('a,"b"@example.test', "h.example.test", "Pa-ss"))
    assert line.startswith('"a,""b""@example.test",h.example.test,465,tls,')
    assert line.endswith(",Pa-ss\r\n")
    assert next(csv.reader(io.StringIO(line)))[0] == 'a,"b"@example.test'


@pytest.mark.asvs("1.3.3")
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_would_be_a_formula_is_defused(start: str) -> None:
    line = formats.CsvWriter().row(formats.credential(start + "x@example.test", "h.example.test", "P"))
    assert next(csv.reader(io.StringIO(line, newline="")))[0] == "'" + start + "x@example.test"


def test_a_password_is_never_altered() -> None:
    line = formats.CsvWriter().row(formats.credential("a@example.test", "h.example.test", "-odd"))
    assert line.endswith(",-odd\r\n")


def test_an_empty_json_export_is_an_empty_list() -> None:
    writer = formats.JsonWriter()
    assert json.loads(writer.begin() + writer.end()) == []


def test_an_unknown_format_has_no_writer() -> None:
    with pytest.raises(KeyError):
        formats.writer("xlsx")


def test_a_credential_does_not_show_its_password() -> None:
    assert "Pa-ss" not in repr(formats.credential("a@example.test", "h.example.test", "Pa-ss"))
