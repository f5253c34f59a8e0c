"""Every format of the catalogue, and what keeps the files readable and harmless."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from pydantic import ValidationError

from services.vault.exports.catalogue import ExportFormat, formats
from services.vault.exports.credentials import PLACEHOLDERS, Credentials
from services.vault.exports.writers import writer, writer_of

Row = tuple[str, str, str, str]
ADA = ("ada.l@example.test", "Ada King Lovelace", "h.example.test", "Pa-ss_word")

INSTANTLY = (
    "Email,First Name,Last Name,IMAP Username,IMAP Password,IMAP Host,IMAP Port,"
    "SMTP Username,SMTP Password,SMTP Host,SMTP Port"
)
INSTANTLY_ROW = (
    "ada.l@example.test,Ada,King Lovelace,ada.l@example.test,Pa-ss_word,h.example.test,993,"
    "ada.l@example.test,Pa-ss_word,h.example.test,465"
)
LIMITS = ",Daily Limit,Warmup Enabled,Warmup Limit,Warmup Increment"
LIMITS_ROW = ",30,FALSE,10,1"

# Written by hand from what the targets document: header and row of one mailbox.
EXPECTED = {
    "csv": (
        "address,display_name,smtp_host,smtp_port,smtp_security,imap_host,imap_port,imap_security,username,password",
        "ada.l@example.test,Ada King Lovelace,h.example.test,465,tls,h.example.test,993,tls,ada.l@example.test,"
        "Pa-ss_word",
    ),
    "instantly": (INSTANTLY, INSTANTLY_ROW),
    "instantly-15": (INSTANTLY + LIMITS, INSTANTLY_ROW + LIMITS_ROW),
    "reachinbox": (
        INSTANTLY + LIMITS + ",Tracking Domain,Warmup Filter Tag,Warmup On Weekdays,Warmup Open Rate,"
        "Warmup Spam Protection Rate,Warmup Mark As Important Rate",
        INSTANTLY_ROW + LIMITS_ROW + ",,,,,,",
    ),
    "smartlead": (
        "from_name,from_email,user_name,password,smtp_host,smtp_port,imap_host,imap_port,max_email_per_day,"
        "custom_tracking_url,warmup_enabled,total_warmup_per_day,daily_rampup,reply_rate_percentage,bcc,signature,"
        "different_reply_to_address,imap_user_name,imap_password",
        "Ada King Lovelace,ada.l@example.test,ada.l@example.test,Pa-ss_word,h.example.test,465,h.example.test,993,"
        ",,,,,,,,,ada.l@example.test,Pa-ss_word",
    ),
    "brandjet": (
        "email,password,smtpHost,smtpPort,smtpTls,imapHost,imapPort,imapTls,fromName,dailyLimit,warmupEnabled",
        "ada.l@example.test,Pa-ss_word,h.example.test,465,ssl,h.example.test,993,ssl,Ada King Lovelace,30,false",
    ),
    "email-bison": (
        "Name,Email,Password,IMAP Server,IMAP Port,SMTP Server,SMTP Port,Daily Limit,SMTP Secure,IMAP Secure",
        "Ada King Lovelace,ada.l@example.test,Pa-ss_word,h.example.test,993,h.example.test,465,30,TRUE,TRUE",
    ),
    "lemlist": (
        "email,firstName,lastName,smtpUsername,smtpPassword,smtpHost,smtpPort,imapUsername,imapPassword,imapHost,"
        "imapPort",
        "ada.l@example.test,Ada,King Lovelace,ada.l@example.test,Pa-ss_word,h.example.test,465,ada.l@example.test,"
        "Pa-ss_word,h.example.test,993",
    ),
    "woodpecker": (
        "SMTP email,SMTP login,SMTP password,SMTP server,SMTP port,SMPT from name,IMAP email,IMAP password,"
        "IMAP server,IMAP port",
        "ada.l@example.test,ada.l@example.test,Pa-ss_word,h.example.test,465,Ada King Lovelace,ada.l@example.test,"
        "Pa-ss_word,h.example.test,993",
    ),
}  # fmt: skip


def credentials(*rows: Row) -> Credentials:
    return Credentials(*zip(*rows, strict=True)) if rows else Credentials([], [], [], [])


def written(name: str, *rows: Row) -> str:
    made = writer(name)
    return made.begin() + made.rows(credentials(*rows)) + made.end()


def test_each_format_is_described_here() -> None:
    assert set(formats()) == {*EXPECTED, "json"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_has_the_header_and_the_row_that_the_target_wants(name: str) -> None:
    header, row = EXPECTED[name]
    assert written(name, ADA) == f"{header}\r\n{row}\r\n"


@pytest.mark.parametrize("name", formats())
def test_a_format_without_a_tried_import_says_so(name: str) -> None:
    """None was imported into a real account yet; whoever does that moves the file's name out of here."""
    format = formats()[name]
    assert format.verified_on is None
    assert format.own if name in ("csv", "json") else "No file was imported" in str(format.unverified)


@pytest.mark.parametrize("name", EXPECTED)
def test_awkward_names_are_read_back_as_they_were(name: str) -> None:
    odd = ("a@example.test", 'Ünï "Q",\u2028Ltd; 100%', "h.example.test", "Pa-ss")
    (row,) = csv.DictReader(io.StringIO(written(name, odd), newline=""), strict=True)
    assert None not in row
    spelt = {value for header, value in row.items() if "name" in header.lower()}
    assert any("Ünï" in value for value in spelt)
    assert any(value.endswith('"Q",\u2028Ltd; 100%') for value in spelt)


@pytest.mark.asvs("1.3.3")
@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"])
@pytest.mark.parametrize("name", EXPECTED)
def test_no_cell_but_a_password_is_a_formula(name: str, start: str) -> None:
    odd = (start + "x@example.test", f"{start}1+1 {start}cmd|'/C calc'!A0", "h.example.test", "P")
    for row in csv.reader(io.StringIO(written(name, odd), newline="")):
        assert not [cell for cell in row if cell.startswith(start)]


@pytest.mark.parametrize("name", formats())
def test_a_password_is_never_altered(name: str) -> None:
    odd = ("a@example.test", "", "h.example.test", "-odd+pass")
    text = written(name, odd)
    assert "-odd+pass" in text
    assert "'-odd+pass" not in text


def test_a_mailbox_without_a_name_is_called_by_its_address() -> None:
    nameless = credentials(("ada@example.test", "", "h.example.test", "P"))
    made = [PLACEHOLDERS[name](nameless) for name in ("from_name", "first_name", "last_name")]
    assert made == [["ada"], [""], [""]]


def test_constants_and_headers_are_quoted_and_taken_as_they_are() -> None:
    columns = [["Name, 100%", "{address}"], ["Rate", '5%, "at most" %s']]
    odd = writer_of(
        ExportFormat.model_validate({"title": "T", "kind": "csv", "own": True, "columns": columns})
    )
    text = odd.begin() + odd.rows(credentials(ADA, ADA))
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == ["Name, 100%", "Rate"]
    assert rows == [[ADA[0], '5%, "at most" %s']] * 2


def test_json_has_the_names_of_the_generic_csv_and_numbers_for_ports() -> None:
    (row,) = json.loads(written("json", ADA))
    assert list(row) == EXPECTED["csv"][0].split(",")
    assert (row["smtp_port"], row["imap_port"], row["display_name"]) == (465, 993, "Ada King Lovelace")


def test_an_empty_json_export_is_an_empty_list() -> None:
    assert json.loads(written("json")) == []


def test_an_unknown_format_has_no_writer() -> None:
    with pytest.raises(KeyError):
        writer("xlsx")


@pytest.mark.parametrize(
    "change",
    [
        {"columns": [["Email", "{e_mail}"]]},
        {"columns": [["Email", "{address}"], ["Email", "{address}"]]},
        {"columns": []},
        {"columns": [["Email"]]},
        {"columns": [["Email", "the same for all"]]},
        {"kind": "xlsx"},
        {"own": None},
        {"verified_on": None, "unverified": None, "own": None},
        {"unverified": "not tried"},
        {"colums": []},
        {"max_rows": 0},
    ],
)
def test_a_wrong_data_file_is_refused(change: dict[str, Any]) -> None:
    right = {"title": "T", "kind": "csv", "own": True, "columns": [["Email", "{address}"]]}
    assert writer_of(ExportFormat.model_validate(right)).begin() == "Email\r\n"
    with pytest.raises(ValidationError):
        ExportFormat.model_validate(right | change)


def test_credentials_do_not_show_their_passwords() -> None:
    assert repr(credentials(ADA)) == "Credentials(1)"
