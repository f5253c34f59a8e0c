"""Each record type has the value that its rule asks for."""

from __future__ import annotations

import pytest

from services.dns.records import caa, dkim, mta_sts, ptr, tlsa
from services.dns.records.model import DesiredRecord, presentation
from services.dns.records.sets import domain_records, host_records, reverse_records
from tests.dns.samples import ED25519_KEY, RSA_KEY, digest, domain, server

HOST = "s01.mx.mail-platform.net"


def by_name(records: list[DesiredRecord]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        found.setdefault(record.key, []).append(record.value)
    return found


def test_a_host_has_addresses_two_keys_sender_policy_report_authorisation_and_issuer() -> None:
    wanted = server(hostname=HOST, ipv4="51.15.0.7", ipv6="2A03:4000:0001:0:0:0:0:7")
    assert by_name(host_records(wanted, ["letsencrypt.org"])) == {
        (HOST, "A"): ["51.15.0.7"],
        (HOST, "AAAA"): ["2a03:4000:1::7"],
        (f"_25._tcp.{HOST}", "TLSA"): [f"3 1 1 {digest('current')}", f"3 1 1 {digest('next')}"],
        (HOST, "TXT"): ["v=spf1 a -all"],
        (f"*._report._dmarc.{HOST}", "TXT"): ["v=DMARC1"],
        (HOST, "CAA"): ['0 issue "letsencrypt.org"'],
    }


def test_a_domain_has_everything_mail_needs() -> None:
    found = by_name(domain_records("srv_1", HOST, domain("company.com")))
    assert found == {
        ("company.com", "MX"): [f"10 {HOST}"],
        ("company.com", "TXT"): [f"v=spf1 a:{HOST} -all"],
        ("s2611r._domainkey.company.com", "TXT"): [f"v=DKIM1; k=rsa; p={RSA_KEY}"],
        ("s2611e._domainkey.company.com", "TXT"): [f"v=DKIM1; k=ed25519; p={ED25519_KEY}"],
        ("_dmarc.company.com", "TXT"): [f"v=DMARC1; p=reject; rua=mailto:dmarc@{HOST}"],
        ("_mta-sts.company.com", "TXT"): ["v=STSv1; id=20261122T080000"],
        ("mta-sts.company.com", "CNAME"): [HOST],
        ("_smtp._tls.company.com", "TXT"): [f"v=TLSRPTv1; rua=mailto:tlsrpt@{HOST}"],
        ("_submissions._tcp.company.com", "SRV"): [f"0 1 465 {HOST}"],
        ("_imaps._tcp.company.com", "SRV"): [f"0 1 993 {HOST}"],
        ("_imap._tcp.company.com", "SRV"): ["0 0 0 ."],
        ("_pop3._tcp.company.com", "SRV"): ["0 0 0 ."],
        ("autoconfig.company.com", "CNAME"): [HOST],
        ("autodiscover.company.com", "CNAME"): [HOST],
    }


def test_a_long_dkim_key_is_shown_as_strings_of_at_most_255_octets() -> None:
    record = dkim.public_key("srv_1", "dom_1", "company.com", "s1", "rsa", RSA_KEY)
    strings = presentation(record).split('" "')
    assert len(strings) == 2
    assert all(len(part.strip('"')) <= 255 for part in strings)
    assert "".join(part.strip('"') for part in strings) == record.value


@pytest.mark.parametrize(
    ("selector", "algorithm", "key"),
    [
        ("s1", "rsa", ED25519_KEY),
        ("s1", "ed25519", RSA_KEY),
        ("s1", "rsa", "not base64!"),
        ("S 1", "rsa", RSA_KEY),
        ("-s1", "rsa", RSA_KEY),
    ],
)
def test_a_dkim_key_that_no_verifier_takes_is_refused(selector: str, algorithm: str, key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        dkim.public_key("srv_1", "dom_1", "company.com", selector, algorithm, key)  # type: ignore[arg-type]


def test_equal_current_and_next_keys_make_one_tlsa_record() -> None:
    assert len(tlsa.certificate_associations("srv_1", HOST, [digest("a"), digest("a")])) == 1


@pytest.mark.parametrize("text", ["", "AB" * 32, "ab" * 31, "zz" * 32])
def test_a_tlsa_digest_that_is_no_sha256_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="64 lower-case"):
        tlsa.certificate_associations("srv_1", HOST, [text])


@pytest.mark.parametrize("text", ["", "a" * 33, "2026-11-22"])
def test_an_mta_sts_id_that_senders_reject_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        mta_sts.announcement("srv_1", "dom_1", "company.com", text)


def test_an_issuer_may_carry_parameters_and_no_quotes() -> None:
    record = caa.issuers("srv_1", HOST, ["letsencrypt.org; validationmethods=http-01"])[0]
    assert record.value == '0 issue "letsencrypt.org; validationmethods=http-01"'
    with pytest.raises(ValueError, match="issuer"):
        caa.issuers("srv_1", HOST, ['ca.net"; x'])


def test_both_addresses_have_to_point_back() -> None:
    wanted = server(hostname=HOST, ipv4="51.15.0.7", ipv6="2a03:4000::7")
    assert {record.name: record.value for record in reverse_records(wanted)} == {
        "7.0.15.51.in-addr.arpa": HOST,
        "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.4.3.0.a.2.ip6.arpa": HOST,
    }


def test_the_zone_of_a_reverse_name_is_sought_at_its_network() -> None:
    assert ptr.enclosing_zone_guess("7.0.15.51.in-addr.arpa") == "0.15.51.in-addr.arpa"
    v6 = "7" + ".0" * 15 + ".0.0.0.0.0.0.0.0.0.0.0.4.3.0.a.2.ip6.arpa"
    assert ptr.enclosing_zone_guess(v6) == "0.0.0.0.0.0.0.0.0.0.0.4.3.0.a.2.ip6.arpa"


def test_every_record_names_its_rule_and_says_what_it_is_for() -> None:
    wanted = server(hostname=HOST)
    records = host_records(wanted, ["ca.net"]) + domain_records("srv_1", HOST, domain("company.com"))
    assert all(record.rule and record.explanation.endswith(".") for record in records)
    assert all(
        len(f"{record.mark}:00000000") <= 100 for record in records
    )  # a comment's length at the provider
