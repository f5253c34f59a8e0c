"""What is seen in DNS becomes one word."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.dns.pacing import Pace
from services.dns.ports import Answer, Sighting
from services.dns.records.sets import domain_records, host_records
from services.dns.verification import RecordSet, judge, record_sets
from tests.dns.samples import digest, domain, server

HOST = "s01.mx.mail-platform.net"
HOST_SETS = {
    item.type: item for item in record_sets(host_records(server(hostname=HOST), [])) if item.name != HOST
}
DOMAIN_SETS = {
    (item.name.removesuffix("company.com"), item.type): item
    for item in record_sets(domain_records("srv_1", HOST, domain("company.com")))
}
MX = DOMAIN_SETS["", "MX"]
SPF = DOMAIN_SETS["", "TXT"]
TLSA = HOST_SETS["TLSA"]


def seen(*values: frozenset[str] | str | None, resolver: Answer | None = None) -> Sighting:
    """One answer per name server; None: it said nothing."""
    answers = tuple(
        Answer(f"ns{at}", "192.0.2.1", error="no answer")
        if value is None
        else Answer(f"ns{at}", "192.0.2.1", frozenset({value} if isinstance(value, str) else value))
        for at, value in enumerate(values)
    )
    return Sighting(answers, resolver)


def through(values: frozenset[str], *, signed: bool = True) -> Answer:
    return Answer("resolver", "", values, signed)


def test_all_servers_and_the_resolver_make_it_verified() -> None:
    judgement = judge(MX, seen(MX.values, MX.values, resolver=through(MX.values)), written=True)
    assert (judgement.state, judgement.dnssec) == ("verified", True)


def test_one_server_behind_means_pending_and_names_it() -> None:
    judgement = judge(MX, seen(MX.values, frozenset()), written=True)
    assert judgement.state == "pending"
    assert "ns1" in judgement.detail


def test_a_silent_name_server_means_pending() -> None:
    judgement = judge(MX, seen(MX.values, None), written=True)
    assert (judgement.state, judgement.detail) == ("pending", "No answer from ns1.")


def test_an_old_answer_in_the_resolver_means_pending() -> None:
    stale = through(frozenset({"5 mail.old.net"}))
    assert judge(MX, seen(MX.values, resolver=stale), written=True).state == "pending"


def test_dane_without_dnssec_is_wrong() -> None:
    judgement = judge(TLSA, seen(TLSA.values, resolver=through(TLSA.values, signed=False)), written=True)
    assert (judgement.state, judgement.dnssec) == ("wrong", False)


def test_an_unsigned_customer_zone_is_verified_and_says_so() -> None:
    judgement = judge(MX, seen(MX.values, resolver=through(MX.values, signed=False)), written=True)
    assert (judgement.state, judgement.dnssec) == ("verified", False)


@pytest.mark.parametrize("wrong", [{f"3 1 1 {digest('evil')}"}, {f"3 1 1 {digest('current')}"}])
def test_another_key_set_is_wrong(wrong: set[str]) -> None:
    assert judge(TLSA, seen(frozenset(wrong)), written=False).state == "wrong"


def test_a_rival_mail_exchanger_is_wrong_even_beside_ours() -> None:
    judgement = judge(MX, seen(MX.values | {"1 mail.old.net"}), written=False)
    assert (judgement.state, judgement.detail) == ("wrong", "Other records stand beside it.")


def test_absence_is_missing_and_shortly_after_a_write_pending() -> None:
    assert judge(MX, seen(frozenset()), written=False).state == "missing"
    assert judge(MX, seen(frozenset()), written=True).state == "pending"


def test_a_known_conflict_is_named() -> None:
    judgement = judge(MX, seen("1 mail.old.net"), written=False, conflict="Mail goes elsewhere.")
    assert (judgement.state, judgement.detail) == ("conflict", "Mail goes elsewhere.")


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({f"v=spf1 a:{HOST} -all", "google-site-verification=1"}, "verified"),
        ({f"v=spf1 mx a:{HOST} ~all"}, "verified"),
        ({"v=spf1 mx -all"}, "wrong"),
        ({f"v=spf1 a:{HOST} -all", "v=spf1 mx -all"}, "wrong"),
        ({"google-site-verification=1"}, "missing"),
    ],
)
def test_spf_is_judged_by_what_it_says_and_must_be_one(values: set[str], state: str) -> None:
    found = frozenset(values)
    resolver = through(found) if SPF.holds(found) else None
    assert judge(SPF, seen(found, resolver=resolver), written=False).state == state


def test_a_withdrawn_set_is_gone_when_nobody_shows_it() -> None:
    gone = RecordSet(MX.name, MX.type, MX.records, gone=True)
    foreign = frozenset({"1 mail.old.net"})
    assert judge(gone, seen(MX.values, foreign), written=False).state == "pending"
    assert judge(gone, seen(foreign, foreign, resolver=through(foreign)), written=False).state == "verified"


def test_a_withdrawn_server_is_gone_from_a_merged_spf_record() -> None:
    gone = RecordSet(SPF.name, SPF.type, SPF.records, gone=True)
    assert not gone.holds(frozenset({f"v=spf1 mx a:{HOST} -all"}))
    assert gone.holds(frozenset({"v=spf1 mx -all"}))


def test_pending_sets_are_looked_at_often_and_later_less_often() -> None:
    pace = Pace(0.5, 300)
    waits = [
        pace.next_look(settled=False, waiting=timedelta(seconds=at)).total_seconds()
        for at in (0, 45, 600, 86400)
    ]
    assert waits == [0.5, 1.0, 10.0, 30.0]
    assert pace.next_look(settled=True, waiting=timedelta()).total_seconds() >= 270
    assert pace.next_look(settled=False, waiting=timedelta(), failed=7).total_seconds() == 7
