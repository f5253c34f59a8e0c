"""Our server joins an SPF record that is there, and leaves it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dns.records import spf

HOST = "s01.mx.mail-platform.net"


@pytest.mark.parametrize(
    ("present", "merged"),
    [
        ("v=spf1 -all", f"v=spf1 a:{HOST} -all"),
        ("v=spf1 include:_spf.mail.com ~all", f"v=spf1 include:_spf.mail.com a:{HOST} ~all"),
        ("v=spf1 redirect=_spf.mail.com", f"v=spf1 a:{HOST} redirect=_spf.mail.com"),
        ("v=spf1 ip4:192.0.2.1", f"v=spf1 ip4:192.0.2.1 a:{HOST}"),
        ("v=spf1 mx ?all exp=x.mail.com", f"v=spf1 mx a:{HOST} ?all exp=x.mail.com"),
        ("v=spf1", f"v=spf1 a:{HOST}"),
        (f"v=spf1 a:{HOST}. -all", f"v=spf1 a:{HOST}. -all"),
    ],
)
def test_our_mechanism_goes_before_what_ends_the_evaluation(present: str, merged: str) -> None:
    assert spf.merge(present, HOST) == merged


def test_a_mechanism_that_refuses_us_does_not_count_as_ours() -> None:
    assert spf.merge(f"v=spf1 -a:{HOST} -all", HOST) == f"v=spf1 -a:{HOST} a:{HOST} -all"


def test_lookups_of_included_records_are_counted() -> None:
    includes = {
        "a.com": "v=spf1 include:b.com mx -all",
        "b.com": "v=spf1 a exists:%{i}.c.com ip4:192.0.2.1 -all",
    }
    assert spf.lookups("v=spf1 include:a.com ptr a:x.com ip6:2001:db8::1 -all", includes) == 7


def test_a_merge_beyond_ten_lookups_is_refused() -> None:
    full = "v=spf1 " + " ".join(f"include:_{n}.mail.com" for n in range(10)) + " -all"
    with pytest.raises(spf.SpfTooManyLookups):
        spf.merge(full, HOST)


def test_records_that_include_each_other_are_counted_to_an_end() -> None:
    includes = {"a.com": "v=spf1 include:b.com", "b.com": "v=spf1 include:a.com"}
    assert spf.lookups("v=spf1 include:a.com", includes) > spf.LOOKUP_LIMIT


def test_names_with_macros_are_not_asked_for() -> None:
    assert spf.included_names("v=spf1 include:%{d}.x.com include:y.com redirect=Z.com.") == ["y.com", "z.com"]


@pytest.mark.parametrize("value", ["v=spf10 -all", "spf1", "google-site-verification=1", ""])
def test_other_text_is_not_taken_for_spf(value: str) -> None:
    assert not spf.is_spf(value)


_mechanisms = st.sampled_from(
    ["mx", "include:x.com", "ip4:192.0.2.0/24", "?exists:y.com", "a", "~ip6:2001:db8::/32"]
)


@given(st.lists(_mechanisms, max_size=5), st.sampled_from(["", "-all", "~all", "redirect=z.com"]))
def test_leaving_a_record_restores_it(mechanisms: list[str], end: str) -> None:
    record = " ".join(["v=spf1", *mechanisms, *([end] if end else [])])
    merged = spf.merge(record, HOST)
    assert spf.has_mechanism(merged, HOST)
    assert spf.unmerge(merged, HOST) == record
