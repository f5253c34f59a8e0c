"""Whatever people are called: each format is read back by a parser of its kind, and nothing in it is a formula."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.vault import passwords
from services.vault.exports.catalogue import formats, placeholder
from services.vault.exports.credentials import Credentials
from services.vault.exports.writers import writer_of

Row = tuple[str, str, str, str]
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
AWKWARD = st.sampled_from(
    ["=", "+", "-", "@", "\t", "\r", "\n", "\r\n", '"', '""', ",", ";", "'", " ", "\U0001f511", "\uff1d"]
)
# A name comes out of the database, which takes neither NUL nor half a surrogate pair.
NAMES = st.lists(
    AWKWARD | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8),
    max_size=6,
).map("".join)
PASSWORDS = st.builds(lambda: passwords.generate().reveal().decode()) | st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40
)
ROWS = st.lists(
    st.tuples(
        st.from_regex(r"[a-z0-9=+_-][a-z0-9._+=-]{0,20}@example\.test", fullmatch=True),
        NAMES,
        st.just("h.example.test"),
        PASSWORDS,
    ),
    max_size=4,
)


def cells(row: Row) -> dict[str, str | int]:
    """What each placeholder of `formats/` stands for, of one row."""
    address, display_name, hostname, password = row
    name = display_name.strip()
    first_name, _, last_name = name.partition(" ")
    local_part, _, domain = address.rpartition("@")
    return {
        "address": address, "display_name": display_name, "from_name": name or local_part, "first_name": first_name,
        "last_name": last_name.strip(), "domain": domain, "hostname": hostname, "smtp_port": 465, "imap_port": 993,
        "password": password,
    }  # fmt: skip


def credentials(rows: list[Row]) -> Credentials:
    return Credentials(*zip(*rows, strict=True)) if rows else Credentials([], [], [], [])


def expected(value: str, row: Row) -> str:
    """A cell is the value as it is; in front of a formula that is no password stands an apostrophe."""
    name = placeholder(value)
    plain = value if name is None else str(cells(row)[name])
    return "'" + plain if name != "password" and plain.startswith(FORMULA_STARTS) else plain


@pytest.mark.parametrize("name", [name for name, format in formats().items() if format.kind == "csv"])
@settings(max_examples=30)
@given(given=ROWS)
def test_csv_is_read_back_cell_by_cell(name: str, given: list[Row]) -> None:
    format = formats()[name]
    made = writer_of(format)
    file = (made.begin() + made.rows(credentials(given)) + made.end()).encode()
    header, *rows = csv.reader(io.StringIO(file.decode(), newline=""), strict=True)
    assert header == [column for column, _ in format.columns]
    assert len(rows) == len(given)
    assert file.endswith(b"\r\n")
    for row, one in zip(rows, given, strict=True):
        for cell, (_, value) in zip(row, format.columns, strict=True):
            assert cell == expected(value, one)
            assert placeholder(value) == "password" or not cell.startswith(FORMULA_STARTS)


@given(pages=st.lists(ROWS, max_size=3))
def test_json_is_read_back_as_it_was_however_it_is_cut_into_pages(pages: list[list[Row]]) -> None:
    format = formats()["json"]
    made = writer_of(format)
    rows = json.loads(
        (made.begin() + "".join(made.rows(credentials(page)) for page in pages) + made.end()).encode()
    )
    assert rows == [
        {
            column: value if placeholder(value) is None else cells(one)[str(placeholder(value))]
            for column, value in format.columns
        }
        for page in pages
        for one in page
    ]
