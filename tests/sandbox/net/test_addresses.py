from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path

import pytest

from sandbox.net.addresses import NEVER_ROUTED, RANGE_COUNT, AddressRange, NoRangeFree, Route, machine_routes


async def no_routes() -> list[Route]:
    return []


@pytest.fixture
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.net.addresses.machine_routes", no_routes)


def test_ranges_are_disjoint_and_outside_networks_that_machines_use() -> None:
    ranges = [AddressRange(index) for index in range(RANGE_COUNT)]
    assert [str(each.v4) for each in ranges] == [f"198.51.100.{64 * n}/26" for n in range(4)]
    assert [str(each.v6) for each in ranges] == [
        "2001:db8:5c::/64",
        "2001:db8:5c:1::/64",
        "2001:db8:5c:2::/64",
        "2001:db8:5c:3::/64",
    ]
    assert not any(each.v4.overlaps(network) for each in ranges for network in NEVER_ROUTED)


def test_named_places_are_fixed_offsets() -> None:
    second = AddressRange(1)
    assert second.gateway == IPv4Address("198.51.100.65")
    assert second.resolver == IPv4Address("198.51.100.67")
    assert second.control_plane == IPv4Address("198.51.100.126")
    assert str(second.v6_of(61)) == "2001:db8:5c:1::3d"
    assert second.vps_v4()[0] == IPv4Address("198.51.100.80")
    assert len(second.vps_v4()) == 44


def test_ipv6_prefixes_of_servers_lie_in_the_range_and_spare_the_infrastructure() -> None:
    prefix = AddressRange(2).vps_v6_prefix(7)
    assert prefix == IPv6Network("2001:db8:5c:2:7::/80")
    assert AddressRange(2).v6_of(1) not in prefix
    with pytest.raises(ValueError, match="not in 1"):
        AddressRange(2).vps_v6_prefix(0)


@pytest.mark.usefixtures("quiet_machine")
async def test_claim_gives_each_holder_another_range_and_frees_it_on_release(tmp_path: Path) -> None:
    first = await AddressRange.claim(tmp_path)
    second = await AddressRange.claim(tmp_path)
    assert (first.index, second.index) == (0, 1)
    first.release()
    third = await AddressRange.claim(tmp_path)
    assert third.index == 0
    second.release()
    third.release()


@pytest.mark.usefixtures("quiet_machine")
async def test_claim_says_who_holds_the_ranges_and_what_to_do_when_none_is_free(tmp_path: Path) -> None:
    held = [await AddressRange.claim(tmp_path, owner=tmp_path) for _ in range(RANGE_COUNT)]
    with pytest.raises(NoRangeFree, match=r"held by process \d+ .*make down"):
        await AddressRange.claim(tmp_path)
    for each in held:
        each.release()


@pytest.mark.usefixtures("quiet_machine")
async def test_claim_leaves_the_range_of_a_stopped_stack_to_its_owner(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (await AddressRange.claim(tmp_path, owner=mine)).release()
    other = await AddressRange.claim(tmp_path, owner=tmp_path / "other")
    again = await AddressRange.claim(tmp_path, owner=mine)
    assert (other.index, again.index) == (1, 0)
    other.release()
    again.release()


async def test_claim_skips_a_range_that_a_foreign_route_overlaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def routes() -> list[Route]:
        return [
            Route(IPv4Network("198.51.100.0/25"), "eth1"),
            Route(IPv6Network("2001:db8:5c:2::/64"), "eth1"),
        ]

    monkeypatch.setattr("sandbox.net.addresses.machine_routes", routes)
    claimed = await AddressRange.claim(tmp_path)
    assert claimed.index == 3
    claimed.release()
    with pytest.raises(NoRangeFree, match=r"198\.51\.100\.0/25 dev eth1"):
        await AddressRange.claim(tmp_path, only=0)


async def test_routes_over_the_own_device_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def routes() -> list[Route]:
        return [Route(IPv4Network("198.51.100.0/24"), "sc-mine")]

    monkeypatch.setattr("sandbox.net.addresses.machine_routes", routes)
    claimed = await AddressRange.claim(tmp_path, own_device="sc-mine")
    assert claimed.index == 0
    claimed.release()


async def test_machine_routes_hold_the_loopback_and_no_default_route() -> None:
    routes = await machine_routes()
    assert any(route.network.is_loopback for route in routes)
    assert all(route.network.prefixlen > 0 for route in routes)
