"""Fifteen ways a list can answer, asked over the wire, and what is believed."""

from pathlib import Path

import pytest

from services.reputation.blacklists.catalogue import Catalogue, load
from services.reputation.checks.checker import Checker, verdict_of
from services.reputation.checks.query import query_name
from services.reputation.checks.schemas import ListResult, Status
from services.reputation.providers.dns_resolver import DnsResolver, ResolverAddress
from tests.reputation import nameserver
from tests.reputation.nameserver import NameServer, Zone, serving

ADDRESS = "198.51.100.20"
LIST = """
[[list]]
name = "{name}"
zone = "{name}.test"
tier = {tier}
ipv6 = true
codes = {{ "127.0.0.2" = "spam", "127.0.0.10" = "policy: PBL", "127.0.0.30" = "BCL", "127.0.0.4" = "brown" }}
white = [{white}]
delist_url = "https://{name}.test/"
"""


def catalogue(directory: Path, tiers: dict[str, int], white: str = "") -> Catalogue:
    path = directory / "lists.toml"
    path.write_text("".join(LIST.format(name=name, tier=tier, white=white) for name, tier in tiers.items()))
    return load(path, {})


def checker_of(server: NameServer, lists: Catalogue, **options: object) -> Checker:
    return Checker(lists, DnsResolver([server.address], timeout=0.2), **options)  # type: ignore[arg-type]


SHAPES: dict[str, tuple[Zone, Status, str]] = {
    "clean": (nameserver.sound(), "clean", ""),
    "listed": (nameserver.sound("127.0.0.2"), "listed", ""),
    "open resolver refused": (nameserver.sound("127.255.255.254"), "unknown", "refused"),
    "too many queries": (nameserver.always("127.255.255.255"), "unknown", "refused"),
    "refusal by 127.0.0.1": (nameserver.always("127.0.0.1"), "unknown", "no meaning"),
    "parked": (nameserver.always("62.0.58.94"), "unknown", "outside 127"),
    "lists the world": (nameserver.always("127.0.0.2"), "unknown", "never be listed"),
    "SERVFAIL": (nameserver.failing("SERVFAIL"), "unknown", "SERVFAIL"),
    "REFUSED": (nameserver.failing("REFUSED"), "unknown", "REFUSED"),
    "timeout": (nameserver.silent, "unknown", "no answer"),
    "white": (nameserver.white_everywhere, "clean", ""),
    "emptied": (nameserver.always(), "unknown", "emptied"),
    "PBL": (nameserver.sound("127.0.0.10"), "policy", ""),
    "BCL": (nameserver.sound("127.0.0.30"), "listed", ""),
    "NODATA": (nameserver.no_data, "clean", ""),
    "unknown code": (nameserver.sound("127.0.0.77"), "unknown", "no meaning"),
    "code beside an unknown one": (nameserver.sound("127.0.0.2", "127.0.0.77"), "listed", ""),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_of_answer_is_understood(shape: str, tmp_path: Path) -> None:
    zone, status, reason = SHAPES[shape]
    lists = catalogue(tmp_path, {"a": 1}, white='"127.0.0.1"' if shape == "white" else "")
    async with serving({"a.test": zone}) as server:
        result = (await checker_of(server, lists).check(ADDRESS))[0]
    assert result.status == status
    assert reason in result.reason


async def test_a_listing_carries_codes_meaning_the_lists_own_words_and_where_to_delist(
    tmp_path: Path,
) -> None:
    zones = {"a.test": nameserver.sound("127.0.0.2", "127.0.0.4")}
    async with serving(zones, {"a.test": '"See https://a.test/?ip" " \\007now"'}) as server:
        result = (await checker_of(server, catalogue(tmp_path, {"a": 1})).check(ADDRESS))[0]
    assert result.codes == ["127.0.0.2", "127.0.0.4"]
    assert result.meaning == "spam; brown"
    assert result.reason == "See https://a.test/?ip now"
    assert result.delist_url == "https://a.test/"


async def test_ipv6_addresses_are_asked_by_nibbles_and_have_test_points_of_their_own(tmp_path: Path) -> None:
    async with serving({"a.test": nameserver.sound("127.0.0.2")}) as server:
        result = (await checker_of(server, catalogue(tmp_path, {"a": 1})).check("2001:db8:5c::1"))[0]
        assert result.status == "listed"
        assert any(name.startswith(nameserver.TEST_POINT_6) for name in server.queries)


def test_names_are_reversed() -> None:
    assert query_name("192.0.2.99", "bl.example") == "99.2.0.192.bl.example."
    assert (
        query_name("2001:db8:1:2:3:4:567:89ab", "ugly.example.com")
        == "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ugly.example.com."
    )


async def test_test_points_are_asked_once_an_hour_while_the_list_is_sound(tmp_path: Path) -> None:
    moment = 0.0
    async with serving({"a.test": nameserver.sound()}) as server:
        checker = checker_of(server, catalogue(tmp_path, {"a": 1}), monotonic=lambda: moment)
        for _ in range(3):
            await checker.check(ADDRESS)
        assert server.queries.count(f"{nameserver.TEST_POINT}.a.test") == 1
        moment = 3601.0
        server.zones["a.test"] = nameserver.always()
        assert (await checker.check(ADDRESS))[0].status == "unknown"
        server.zones["a.test"] = nameserver.sound()
        moment += 16
        assert (await checker.check(ADDRESS))[0].status == "clean"


async def test_one_silent_list_does_not_hold_up_the_others(tmp_path: Path) -> None:
    zones: dict[str, Zone] = {f"l{n}.test": nameserver.sound() for n in range(20)} | {
        "dead.test": nameserver.silent
    }
    lists = catalogue(tmp_path, {f"l{n}": 1 for n in range(20)} | {"dead": 1})
    async with serving(zones) as server:
        results = await checker_of(server, lists).check(ADDRESS)
    assert [item.status for item in results].count("clean") == 20
    assert verdict_of(results) == "clean"


async def test_only_the_tiers_wanted_are_asked(tmp_path: Path) -> None:
    async with serving({"a.test": nameserver.sound(), "b.test": nameserver.sound()}) as server:
        results = await checker_of(server, catalogue(tmp_path, {"a": 1, "b": 3})).check(ADDRESS, {1})
        assert [item.blacklist for item in results] == ["a"]
        assert not any("b.test" in name for name in server.queries)


async def test_a_resolver_that_is_away_makes_everything_unknown(tmp_path: Path) -> None:
    async with serving({}) as server:
        address = server.address
    checker = Checker(catalogue(tmp_path, {"a": 1}), DnsResolver([address], timeout=0.1))
    results = await checker.check(ADDRESS)
    assert (results[0].status, verdict_of(results)) == ("unknown", "unknown")


async def test_another_resolver_answers_when_the_first_is_away(tmp_path: Path) -> None:
    async with serving({}) as server:
        away = server.address
    async with serving({"a.test": nameserver.sound()}) as server:
        checker = Checker(catalogue(tmp_path, {"a": 1}), DnsResolver([away, server.address], timeout=0.1))
        assert (await checker.check(ADDRESS))[0].status == "clean"


def results(**statuses: tuple[int, Status]) -> list[ListResult]:
    return [ListResult(blacklist=name, tier=tier, status=status) for name, (tier, status) in statuses.items()]


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (results(a=(1, "clean"), b=(1, "clean")), "clean"),
        (results(a=(1, "listed"), b=(1, "clean")), "listed"),
        (results(a=(1, "listed"), b=(1, "unknown"), c=(1, "unknown")), "listed"),
        (results(a=(1, "clean"), b=(2, "listed")), "clean"),
        (results(a=(1, "clean"), b=(2, "listed"), c=(2, "listed")), "listed"),
        (results(a=(1, "clean"), b=(3, "listed"), c=(3, "listed"), d=(3, "listed")), "clean"),
        (results(a=(1, "policy"), b=(1, "clean")), "clean"),
        (results(a=(1, "unknown"), b=(1, "clean")), "clean"),
        (results(a=(1, "unknown"), b=(1, "unknown"), c=(1, "clean")), "unknown"),
        (results(a=(1, "unknown"), b=(2, "clean")), "unknown"),
        (results(a=(2, "clean")), "clean"),
        ([], "unknown"),
    ],
)
def test_the_verdict_rests_on_what_is_known(given: list[ListResult], verdict: str) -> None:
    assert verdict_of(given) == verdict


def test_a_resolver_may_have_a_port() -> None:
    assert ResolverAddress.parse("198.51.100.3") == ResolverAddress("198.51.100.3", 53)
    assert ResolverAddress.parse("::1@5353") == ResolverAddress("::1", 5353)
