from ipaddress import IPv4Address
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.reputation.blacklists.catalogue import BadCatalogue, load
from services.reputation.blacklists.denylist import DEAD, dead
from services.reputation.settings import ApiSettings

SHIPPED = ApiSettings.model_fields["blacklists_file"].default
GOOD = """
[[list]]
name = "Zen"
zone = "zen.example"
tier = 1
ipv6 = true
codes = { "127.0.0.2" = "spam", "127.0.0.4-7" = "exploit" }
delist_url = "https://zen.example/"
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "lists.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_can_be_used() -> None:
    catalogue = load(SHIPPED, {})
    assert len(catalogue.lists) >= 20
    assert {item.tier for item in catalogue.lists} == {1, 2, 3}
    assert sum(item.tier == 1 and item.enabled and item.ipv4 for item in catalogue.lists) >= 3
    assert any(item.ipv6 and item.enabled for item in catalogue.lists)
    assert all(item.delist_url.startswith("https://") for item in catalogue.lists)


def test_no_shipped_list_is_dead() -> None:
    assert [item.zone for item in load(SHIPPED, {}).lists if dead(item.zone)] == []


@pytest.mark.parametrize("entry", DEAD)
def test_a_dead_list_cannot_come_back(entry: str, tmp_path: Path) -> None:
    for zone in (entry, f"dnsbl.{entry}", f"{entry.upper()}."):
        with pytest.raises(BadCatalogue, match="dead"):
            load(write(tmp_path, GOOD.replace('zen.example"\ntier', f'{zone}"\ntier')), {})


def test_a_living_neighbour_of_a_dead_name_is_not_dead() -> None:
    assert dead("notsorbs.net") is None
    assert dead("spamrbl.swinog.ch") is None


def test_a_range_of_codes_covers_each_of_them(tmp_path: Path) -> None:
    item = load(write(tmp_path, GOOD), {}).lists[0]
    assert item.codes[IPv4Address("127.0.0.5")] == "exploit"
    assert IPv4Address("127.0.0.8") not in item.codes


def test_a_list_without_its_key_is_not_asked(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace('zone = "zen.example"', 'zone = "{key}.zen.example"\nkey = "zen"'))
    assert load(path, {}).for_family(4) == ()
    item = load(path, {"zen": SecretStr("k3y")}).for_family(4)[0]
    assert item.query_zone == "k3y.zen.example"
    assert "k3y" not in repr(item)
    assert item.zone == "{key}.zen.example"


def test_families_are_asked_where_they_are_known(tmp_path: Path) -> None:
    text = GOOD + GOOD.replace("Zen", "Six").replace("zen.", "six.").replace(
        "tier = 1", "tier = 2\nipv4 = false"
    )
    catalogue = load(write(tmp_path, text), {})
    assert [item.name for item in catalogue.for_family(4)] == ["Zen"]
    assert [item.name for item in catalogue.for_family(6)] == ["Zen", "Six"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tier = 1", "tier = 4"),
        ("tier = 1", ""),
        ('name = "Zen"', ""),
        ('"127.0.0.2"', '"128.0.0.2"'),
        ('"127.0.0.2"', '"127.255.255.254"'),
        ('"127.0.0.2"', '"localhost"'),
        ("ipv6 = true", "ipv6 = true\ncolour = 1"),
        ("ipv6 = true", 'ipv6 = true\nkey = "zen"'),
        ('"zen.example"', '"{key}.zen.example"'),
        ("[[list]]", "[[lists]]"),
        ("[[list]]", "[[list"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(BadCatalogue):
        load(write(tmp_path, GOOD.replace(old, new, 1)), {})


def test_a_list_named_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadCatalogue, match="twice"):
        load(write(tmp_path, GOOD + GOOD), {})
