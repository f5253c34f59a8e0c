"""A plan brings a zone to what is wanted, touches only what is ours, and then has nothing left to do."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.dns.planner import Plan, fingerprint, plan
from services.dns.records import spf
from services.dns.records.model import ActualRecord, DesiredRecord, Owned
from services.dns.records.sets import domain_records, host_records
from tests.dns.samples import digest, domain, server

HOST = "s01.mx.mail-platform.net"
COMPANY = domain("company.com")
WANTED = domain_records("srv_1", HOST, COMPANY)


def owned_copy(record: DesiredRecord, identifier: str, **changes: str) -> tuple[ActualRecord, Owned]:
    """A record as it is after we wrote it, and our memory of it."""
    comment = f"{record.mark}:0a1b2c3d"
    value = changes.get("value", record.value)
    actual = ActualRecord(identifier, record.name, record.type, value, comment=comment)
    owned = Owned(
        identifier,
        record.name,
        record.type,
        value,
        record.purpose,
        record.server_id,
        record.domain_id,
        comment,
    )
    return actual, owned


def foreign(name: str, rdtype: str, value: str, identifier: str = "f1") -> ActualRecord:
    return ActualRecord(identifier, name, rdtype, value)


def everything() -> tuple[list[ActualRecord], list[Owned]]:
    pairs = [owned_copy(record, f"r{at}") for at, record in enumerate(WANTED)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def kinds(result: Plan) -> list[str]:
    return [conflict.kind for conflict in result.conflicts]


def test_an_empty_zone_gets_everything() -> None:
    result = plan(WANTED, [], [])
    assert {item.record for item in result.creates} == set(WANTED)
    assert result.changes == len(WANTED)


def test_nothing_is_written_when_nothing_differs() -> None:
    actual, owned = everything()
    result = plan(WANTED, actual, owned)
    assert result.changes == 0
    assert len(result.unchanged) == len(WANTED)
    assert all(item.ours for item in result.unchanged)


def test_foreign_records_stay_and_are_shown() -> None:
    strangers = [
        foreign("company.com", "TXT", "google-site-verification=1"),
        foreign("www.company.com", "A", "192.0.2.1", "f2"),
    ]
    result = plan(WANTED, strangers, [])
    assert result.foreign == strangers
    assert not result.updates
    assert not result.deletes
    assert not result.conflicts


def test_a_key_rollover_overwrites_the_old_key_and_keeps_the_other() -> None:
    old = host_records(server(hostname=HOST, tlsa_spki_sha256=(digest("a"), digest("b"))), [])
    new = host_records(server(hostname=HOST, tlsa_spki_sha256=(digest("b"), digest("c"))), [])
    old = [replace(record, server_id="srv_1") for record in old if record.type == "TLSA"]
    new = [replace(record, server_id="srv_1") for record in new if record.type == "TLSA"]
    pairs = [owned_copy(record, f"r{at}") for at, record in enumerate(old)]
    result = plan(new, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    assert [(item.actual.id, item.value) for item in result.updates] == [("r0", f"3 1 1 {digest('c')}")]
    assert not result.creates
    assert not result.deletes


def test_what_is_no_longer_wanted_is_deleted_if_it_is_ours() -> None:
    actual, owned = everything()
    result = plan([], [*actual, foreign("company.com", "MX", "5 mail.old.net")], owned)
    assert {item.actual.id for item in result.deletes} == {record.id for record in actual}


def test_a_record_without_our_mark_is_no_longer_ours() -> None:
    actual, owned = everything()
    actual[0] = replace(actual[0], comment="mine now", value="5 mail.old.net")
    result = plan([], actual, owned)
    assert [item.provider_record_id for item in result.released] == [actual[0].id]
    assert actual[0].id not in {item.actual.id for item in result.deletes}


def test_a_record_with_our_mark_but_an_unknown_id_is_not_ours() -> None:
    """A copy of the zone that its owner made carries our comments too."""
    actual, _ = everything()
    assert not plan([], actual, []).deletes


def test_a_record_that_the_listing_lacks_is_reported_and_made_again() -> None:
    actual, owned = everything()
    result = plan(WANTED, actual[1:], owned)
    assert [item.provider_record_id for item in result.vanished] == [owned[0].provider_record_id]
    assert len(result.creates) == 1


def test_an_equal_foreign_record_does_the_job_and_stays_foreign() -> None:
    there = foreign("company.com", "MX", f"10 {HOST}")
    result = plan(WANTED, [there], [])
    assert [(item.actual.id, item.ours) for item in result.unchanged] == [("f1", False)]
    assert ("company.com", "MX") not in {item.record.key for item in result.creates}


def test_a_changed_value_of_ours_is_put_right() -> None:
    actual, owned = everything()
    broken = replace(actual[0], value="20 elsewhere.net")
    result = plan(WANTED, [broken, *actual[1:]], owned)
    assert [(item.actual.id, item.value) for item in result.updates] == [(broken.id, WANTED[0].value)]


def test_a_proxied_or_slow_record_of_ours_is_put_right() -> None:
    actual, owned = everything()
    proxied = replace(actual[5], proxied=True)
    slow = replace(actual[6], ttl=86400)
    result = plan(WANTED, [*actual[:5], proxied, slow, *actual[7:]], owned)
    assert {item.actual.id for item in result.updates} == {proxied.id, slow.id}


def test_another_mail_exchanger_is_a_conflict_for_its_owner() -> None:
    result = plan(WANTED, [foreign("company.com", "MX", "1 aspmx.mail.com")], [])
    conflict = next(item for item in result.conflicts if item.kind == "mx_exists")
    assert not conflict.acceptable
    assert conflict.present == ("MX 1 aspmx.mail.com",)
    assert ("company.com", "MX") not in {item.record.key for item in result.creates}


def test_a_rival_beside_our_own_record_is_reported() -> None:
    actual, owned = everything()
    result = plan(WANTED, [*actual, foreign("company.com", "MX", "1 aspmx.mail.com")], owned)
    assert kinds(result) == ["mx_exists"]
    assert result.changes == 0


def test_a_second_dmarc_record_would_void_both() -> None:
    result = plan(WANTED, [foreign("_dmarc.company.com", "TXT", "v=DMARC1; p=none")], [])
    assert kinds(result) == ["dmarc_exists"]


def test_an_alias_in_the_way_is_a_conflict() -> None:
    result = plan(WANTED, [foreign("_dmarc.company.com", "CNAME", "dmarc.service.com")], [])
    assert kinds(result) == ["alias_in_the_way"]


def test_a_name_that_we_want_as_alias_but_is_used_is_a_conflict() -> None:
    result = plan(WANTED, [foreign("autodiscover.company.com", "A", "192.0.2.1")], [])
    assert kinds(result) == ["name_taken"]


def test_an_spf_record_is_merged_only_when_its_owner_accepts() -> None:
    present = foreign("company.com", "TXT", "v=spf1 include:_spf.mail.com ~all")
    before = plan(WANTED, [present], [])
    conflict = before.conflicts[0]
    assert (conflict.kind, conflict.acceptable) == ("spf_merge", True)
    assert conflict.proposed == f"v=spf1 include:_spf.mail.com a:{HOST} ~all"
    assert not before.updates
    after = plan(WANTED, [present], [], accepted={conflict.id})
    assert [(item.actual.id, item.value, item.merged) for item in after.updates] == [
        ("f1", conflict.proposed, True)
    ]
    assert not after.conflicts


def test_two_spf_records_are_not_merged_into() -> None:
    rivals = [
        foreign("company.com", "TXT", "v=spf1 -all"),
        foreign("company.com", "TXT", "v=spf1 mx -all", "f2"),
    ]
    assert kinds(plan(WANTED, rivals, [])) == ["spf_exists_twice"]


def test_an_spf_record_with_too_many_lookups_is_explained() -> None:
    full = "v=spf1 " + " ".join(f"include:_{n}.mail.com" for n in range(10)) + " -all"
    assert kinds(plan(WANTED, [foreign("company.com", "TXT", full)], [])) == ["spf_too_many_lookups"]


def merged_record(value: str) -> tuple[ActualRecord, Owned]:
    actual = foreign("company.com", "TXT", value)
    owned = Owned("f1", "company.com", "TXT", HOST, "spf", "srv_1", COMPANY.domain_id, "", merged=True)
    return actual, owned


def test_our_part_leaves_a_merged_spf_record_and_the_record_stays() -> None:
    actual, owned = merged_record(f"v=spf1 mx a:{HOST} -all")
    result = plan([], [actual], [owned])
    assert [(item.actual.id, item.value, item.record) for item in result.updates] == [
        ("f1", "v=spf1 mx -all", None)
    ]
    assert not result.deletes


def test_a_merged_record_that_holds_us_needs_nothing() -> None:
    actual, owned = merged_record(f"v=spf1 mx a:{HOST} -all")
    result = plan([record for record in WANTED if record.purpose == "spf"], [actual], [owned])
    assert result.changes == 0
    assert result.unchanged[0].ours


def test_a_merged_record_whose_owner_took_us_out_is_released() -> None:
    actual, owned = merged_record("v=spf1 mx -all")
    assert plan([], [actual], [owned]).released == [owned]


def test_a_domain_that_moves_to_another_server_changes_its_spf_record_once() -> None:
    actual, owned = merged_record(f"v=spf1 mx a:{HOST} -all")
    elsewhere = domain_records("srv_2", "s02.mx.mail-platform.net", COMPANY)
    wanted = [record for record in elsewhere if record.purpose == "spf"]
    result = plan(wanted, [actual], [owned], accepted={"spf_merge:company.com"})
    assert [item.value for item in result.updates] == ["v=spf1 mx a:s02.mx.mail-platform.net -all"]


def test_a_fingerprint_ignores_records_elsewhere_in_the_zone() -> None:
    actual, owned = everything()
    elsewhere = foreign("www.company.com", "A", "192.0.2.1")
    assert fingerprint(WANTED, actual, owned) == fingerprint(WANTED, [*actual, elsewhere], owned)


def test_a_fingerprint_tells_any_change_at_the_names_in_question() -> None:
    actual, owned = everything()
    beside = foreign("company.com", "TXT", "hello")
    marks = {
        fingerprint(WANTED, actual, owned),
        fingerprint(WANTED, [*actual, beside], owned),
        fingerprint(WANTED, actual[1:], owned),
        fingerprint(WANTED[1:], actual, owned),
    }
    assert len(marks) == 4


# -- properties: whatever is in the zone -----------------------------------------------------------------------

_names = st.sampled_from(sorted({record.name for record in WANTED} | {"www.company.com"}))
_strangers = st.lists(
    st.one_of(
        st.builds(
            foreign, _names, st.just("TXT"), st.sampled_from(["v=spf1 mx -all", "v=DMARC1; p=none", "x"])
        ),
        st.builds(foreign, _names, st.just("MX"), st.just("1 mx.old.net")),
        st.builds(foreign, _names, st.just("CNAME"), st.just("x.old.net")),
        st.builds(foreign, _names, st.just("A"), st.just("192.0.2.1")),
    ),
    max_size=6,
).map(lambda items: [replace(item, id=f"f{at}") for at, item in enumerate(items)])
_present = st.lists(st.sampled_from(range(len(WANTED))), unique=True)
_wanted = st.lists(st.sampled_from(range(len(WANTED))), unique=True)
_accept = st.booleans()


def carried_out(
    result: Plan, actual: list[ActualRecord], owned: list[Owned]
) -> tuple[list[ActualRecord], list[Owned]]:
    """The zone and our memory after the plan."""
    zone = {record.id: record for record in actual}
    memory = {item.provider_record_id: item for item in owned if item.provider_record_id in zone}
    for removal in result.deletes:
        del zone[removal.actual.id], memory[removal.actual.id]
    for change in result.updates:
        before = zone[change.actual.id]
        zone[before.id] = replace(before, value=change.value, ttl=1, proxied=False)
        if change.merged and change.record is not None:
            host = spf.terms(change.record.value)[0].argument
            memory[before.id] = Owned(
                before.id,
                *before.key,
                host,
                "spf",
                change.record.server_id,
                change.record.domain_id,
                "",
                merged=True,
            )
    for at, creation in enumerate(result.creates):
        made, ours = owned_copy(creation.record, f"n{at}")
        zone[made.id], memory[made.id] = made, ours
    return list(zone.values()), list(memory.values())


@settings(max_examples=300, deadline=None)
@given(_strangers, _present, _wanted, _accept)
def test_foreign_records_survive_and_a_second_plan_is_empty(
    strangers: list[ActualRecord], present: list[int], wanted: list[int], accept: bool
) -> None:
    pairs = [owned_copy(WANTED[at], f"r{at}") for at in present]
    actual = [pair[0] for pair in pairs] + strangers
    owned = [pair[1] for pair in pairs]
    desired = [WANTED[at] for at in wanted]
    accepted = {"spf_merge:company.com"} if accept else set()
    result = plan(desired, actual, owned, accepted=accepted)
    zone, memory = carried_out(result, actual, owned)
    left = {record.id: record for record in zone}
    for stranger in strangers:
        if left[stranger.id] != stranger:
            assert accept
            assert spf.unmerge(left[stranger.id].value, HOST) == stranger.value
    assert plan(desired, zone, memory, accepted=accepted).changes == 0


@settings(max_examples=200, deadline=None)
@given(_strangers, _present, _wanted)
def test_every_wanted_record_is_there_made_or_in_conflict(
    strangers: list[ActualRecord], present: list[int], wanted: list[int]
) -> None:
    pairs = [owned_copy(WANTED[at], f"r{at}") for at in present]
    result = plan(
        [WANTED[at] for at in wanted], [pair[0] for pair in pairs] + strangers, [pair[1] for pair in pairs]
    )
    settled = [item.record.key for item in result.creates] + [item.record.key for item in result.unchanged]
    settled += [item.record.key for item in result.updates if item.record is not None]
    conflicts = [item.record.key for item in result.conflicts]
    assert {WANTED[at].key for at in wanted} <= {*settled, *conflicts}


@settings(max_examples=200, deadline=None)
@given(_strangers, _present)
def test_withdrawal_leaves_exactly_what_is_foreign(strangers: list[ActualRecord], present: list[int]) -> None:
    pairs = [owned_copy(WANTED[at], f"r{at}") for at in present]
    actual = [pair[0] for pair in pairs] + strangers
    owned = [pair[1] for pair in pairs]
    zone, memory = carried_out(plan([], actual, owned), actual, owned)
    assert zone == strangers
    assert memory == []
