"""The tree is signed from the root down, and a validating resolver sees each change at once."""

from __future__ import annotations

import dns.asyncquery
import dns.dnssec
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from sandbox.dns import RecordSet, UnknownZone
from sandbox.dns.records import InvalidRecord, reverse_name
from sandbox.infrastructure import Infrastructure
from tests.sandbox.conftest import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(
    world: Infrastructure, name: str, kind: str, *, server: str | None = None
) -> dns.message.Message:
    question = dns.message.make_query(name, kind, want_dnssec=True)
    return await dns.asyncquery.udp(question, server or str(world.resolver.address_v4), timeout=3)


def values(answer: dns.message.Message, kind: str) -> set[str]:
    wanted = dns.rdatatype.from_text(kind)
    return {r.to_text() for rrset in answer.answer if rrset.rdtype == wanted for r in rrset}


def secure(answer: dns.message.Message) -> bool:
    return bool(answer.flags & dns.flags.AD)


async def until_secure(world: Infrastructure, name: str) -> None:
    async def shown() -> bool:
        return secure(await ask(world, name, "A"))

    await until(shown)


async def test_a_new_zone_is_validated_at_once(world: Infrastructure) -> None:
    await world.tree.create_zone("new.test")
    digest = "ab" * 32
    await world.tree.set_records("_25._tcp.mx.new.test", "TLSA", [f"3 1 1 {digest}"])
    answer = await ask(world, "_25._tcp.mx.new.test", "TLSA")
    assert secure(answer)
    assert values(answer, "TLSA") == {f"3 1 1 {digest}"}


@pytest.mark.parametrize(
    ("name", "code"), [("nope.new2.test", dns.rcode.NXDOMAIN), ("new2.test", dns.rcode.NOERROR)]
)
async def test_absence_is_proved(world: Infrastructure, name: str, code: int) -> None:
    if not world.tree.has_zone("new2.test"):
        await world.tree.create_zone("new2.test")
    answer = await ask(world, name, "AAAA")
    assert answer.rcode() == code
    assert secure(answer)


async def test_both_name_servers_answer_over_both_families(world: Infrastructure) -> None:
    for address in (*world.server.addresses_v4, *world.server.addresses_v6):
        answer = await ask(world, "sandbox.test", "NS", server=str(address))
        assert values(answer, "NS") == {"ns1.sandbox.test.", "ns2.sandbox.test."}
    for name in ("ns1.sandbox.test", "ns2.sandbox.test"):
        assert values(await ask(world, name, "A"), "A")
        assert values(await ask(world, name, "AAAA"), "AAAA")


async def test_reverse_names_of_both_families_are_secure(world: Infrastructure) -> None:
    for address in (world.addresses.v4_of(20), world.addresses.vps_v6_prefix(7)[1]):
        await world.set_ptr(address, "mx.new.test")
        answer = await ask(world, reverse_name(address), "PTR")
        assert secure(answer)
        assert values(answer, "PTR") == {"mx.new.test."}
        await world.set_ptr(address, None)
        assert (await ask(world, reverse_name(address), "PTR")).rcode() == dns.rcode.NXDOMAIN


async def test_a_changed_value_is_seen_by_the_next_question(world: Infrastructure) -> None:
    await world.tree.create_zone("moving.test")
    for number in range(5):
        await world.tree.set_records("a.moving.test", "A", [f"198.51.100.{number}"], 300)
        assert values(await ask(world, "a.moving.test", "A"), "A") == {f"198.51.100.{number}"}


async def test_without_ds_in_the_parent_answers_are_insecure_and_not_bogus(world: Infrastructure) -> None:
    await world.tree.create_zone("plain.test", secure=False)
    await world.tree.set_records("plain.test", "A", ["198.51.100.9"])
    answer = await ask(world, "plain.test", "A")
    assert (answer.rcode(), secure(answer)) == (dns.rcode.NOERROR, False)
    await world.tree.delegate("plain.test", secure=True)
    await until_secure(world, "plain.test")


async def test_a_deleted_zone_leaves_the_parent_and_can_come_back_with_other_keys(
    world: Infrastructure,
) -> None:
    for _ in range(2):
        await world.tree.create_zone("again.test")
        await world.tree.set_records("again.test", "A", ["198.51.100.9"])
        await until_secure(world, "again.test")
        await world.tree.delete_zone("again.test")
        assert not world.tree.has_zone("again.test")
        assert (await ask(world, "again.test", "A")).rcode() == dns.rcode.NXDOMAIN


async def test_a_forged_signature_chain_is_refused_by_the_resolver(world: Infrastructure) -> None:
    await world.tree.create_zone("forged.test")
    await world.tree.set_records("forged.test", "A", ["198.51.100.9"])
    await world.tree.apply("test.", [RecordSet("forged.test.", "DS", (f"1 13 2 {'00' * 32}",))])
    assert (await ask(world, "forged.test", "A")).rcode() == dns.rcode.SERVFAIL


async def test_a_value_that_no_zone_file_takes_is_refused(world: Infrastructure) -> None:
    with pytest.raises(InvalidRecord, match=r"bad\.test A"):
        await world.tree.set_records("bad.test", "A", ["not an address"])


async def test_a_name_of_no_zone_of_ours_cannot_be_delegated(world: Infrastructure) -> None:
    with pytest.raises(UnknownZone):
        await world.tree.records("nowhere.test")
