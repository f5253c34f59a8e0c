"""Blacklists answer as RFC 5782 says, and follow each change when the call returns."""

from __future__ import annotations

import tomllib
from ipaddress import IPv6Address, ip_address

import dns.asyncresolver
import dns.resolver
import pytest

from sandbox.dnsbl import LISTS, UnknownList
from sandbox.infrastructure import Infrastructure

pytestmark = pytest.mark.asyncio(loop_scope="module")
ZEN, COP = "zen.bl.sandbox.test", "cop.bl.sandbox.test"


async def listed(world: Infrastructure, zone: str, address: str, kind: str = "A") -> set[str]:
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [str(world.resolver.address_v4)]
    labels = ip_address(address).reverse_pointer.rsplit(".", 2)[0]
    try:
        return {each.to_text() for each in await resolver.resolve(f"{labels}.{zone}.", kind)}
    except dns.resolver.NXDOMAIN:
        return set()


@pytest.mark.parametrize("each", LISTS, ids=lambda each: each.label)
async def test_every_list_has_its_test_points(world: Infrastructure, each) -> None:  # type: ignore[no-untyped-def]
    assert await listed(world, each.zone, "127.0.0.2") == {"127.0.0.2"}
    assert await listed(world, each.zone, "127.0.0.1") == set()
    if each.ipv6:
        assert await listed(world, each.zone, "::ffff:7f00:2") == {"127.0.0.2"}
        assert await listed(world, each.zone, "::ffff:7f00:1") == set()


async def test_an_address_is_listed_and_taken_off_live(world: Infrastructure) -> None:
    address = world.addresses.v4_of(16)
    for _ in range(3):
        await world.blacklists.put(ZEN, address, "127.0.0.3", "snowshoe")
        assert await listed(world, ZEN, str(address)) == {"127.0.0.3"}
        assert await listed(world, ZEN, str(address), "TXT") == {'"snowshoe"'}
        assert await world.blacklists.delete(ZEN, address)
        assert await listed(world, ZEN, str(address)) == set()
    assert not await world.blacklists.delete(ZEN, address)


async def test_an_ipv6_address_is_listed_where_the_list_knows_ipv6(world: Infrastructure) -> None:
    address: IPv6Address = world.addresses.vps_v6_prefix(3)[1]
    await world.blacklists.put(ZEN, address, "127.0.0.2", "bad")
    assert await listed(world, ZEN, str(address)) == {"127.0.0.2"}
    with pytest.raises(ValueError, match="IPv4 addresses only"):
        await world.blacklists.put(COP, address, "127.0.0.2", "bad")


@pytest.mark.parametrize(
    ("mode", "test_point", "everybody"),
    [
        ("refusing", {"127.255.255.254"}, {"127.255.255.254"}),
        ("world", {"127.0.0.2"}, {"127.0.0.2"}),
        ("empty", set(), set()),
        ("normal", {"127.0.0.2"}, set()),
    ],
)
async def test_a_whole_list_can_misbehave(
    world: Infrastructure, mode: str, test_point: set[str], everybody: set[str]
) -> None:
    await world.blacklists.set_mode(COP, mode)  # type: ignore[arg-type]
    assert await listed(world, COP, "127.0.0.2") == test_point
    assert await listed(world, COP, "127.0.0.1") == everybody
    assert await listed(world, COP, "198.51.100.200") == everybody


@pytest.mark.parametrize(("code", "reason"), [("10.0.0.1", "x"), ("127.0.0.2", "a:b"), ("127.0.0.2", "a\nb")])
async def test_an_entry_that_would_break_the_zone_file_is_refused(
    world: Infrastructure, code: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=r"outside 127|one line"):
        await world.blacklists.put(ZEN, world.addresses.v4_of(17), code, reason)


async def test_an_unknown_list_is_named(world: Infrastructure) -> None:
    with pytest.raises(UnknownList):
        await world.blacklists.put("nope.bl.sandbox.test", world.addresses.v4_of(17), "127.0.0.2", "x")


async def test_the_catalogue_file_names_every_list(world: Infrastructure) -> None:
    lists = tomllib.loads(world.blacklists_file.read_text())["list"]
    assert [each["zone"] for each in lists] == [each.zone for each in LISTS]
    assert {each["tier"] for each in lists} == {1, 2, 3}
    assert any(each["ipv6"] for each in lists)
    assert all(set(each) == {"name", "zone", "tier", "ipv6", "codes", "delist_url"} for each in lists)
