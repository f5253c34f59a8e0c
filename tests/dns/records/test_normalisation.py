"""Records are the same however they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dns.records.model import join_strings, normalise, quote_strings, same_ttl


@pytest.mark.parametrize(
    ("rdtype", "one", "other"),
    [
        ("TLSA", "3 1 1 ABCDEF00", "3 1 1 abcdef 00"),
        ("MX", "10 Mail.Company.COM.", "10 mail.company.com"),
        ("CNAME", "Host.Net.", "host.net"),
        ("TXT", '"v=spf1 " "-all"', "v=spf1 -all"),
        ("TXT", '"a\\"b"', 'a"b'),
        ("TXT", '"caf\\195\\169"', "café"),
        ("AAAA", "2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("SRV", "0 1 465 Host.Net.", "0 1 465 host.net"),
        ("SRV", "0 0 0 .", "0 0 0 ."),
        ("CAA", '0 ISSUE "ca.net"', '0 issue "ca.net"'),
        ("CAA", "0 issue ca.net", '0 issue "ca.net"'),
    ],
)
def test_two_ways_to_write_one_record_compare_equal(rdtype: str, one: str, other: str) -> None:
    assert normalise(rdtype, one) == normalise(rdtype, other)


@pytest.mark.parametrize(("rdtype", "text"), [("A", "no address"), ("MX", "mail"), ("TLSA", "3 1")])
def test_text_that_is_no_record_of_its_type_is_kept_as_it_is(rdtype: str, text: str) -> None:
    assert normalise(rdtype, text) == text


@given(st.binary(max_size=900))
def test_any_text_survives_quoting_and_joining(octets: bytes) -> None:
    value = octets.decode("latin-1")
    assert join_strings(quote_strings(value)) == value


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=900))
def test_no_string_is_longer_than_255_octets(value: str) -> None:
    quoted = quote_strings(value)
    assert quoted.startswith('"')
    assert quoted.endswith('"')
    plain = quoted.replace("\\\\", "x").replace('\\"', "x")
    assert all(len(part) <= 255 for part in plain[1:-1].split('" "'))


def test_automatic_ttl_is_300_seconds() -> None:
    assert same_ttl(1, 300)
    assert not same_ttl(1, 600)
