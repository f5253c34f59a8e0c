"""Which machine at the cloud is taken for a server's: every part has to carry the tags that we give."""

from __future__ import annotations

import pytest

from services.provisioner.adoption.machine import Machine, NotAdoptable, Search
from services.provisioner.ports import InstanceRequest
from shared.ids import new_id
from tests.provisioner.outside.cloud import MemoryCloud, Thing

SERVER, OTHER = new_id("srv"), new_id("srv")
ZONES = ("fr-par-1", "fr-par-2")


def tags() -> tuple[str, ...]:
    return ("sendchief", "sc-env:test", f"sc-srv:{SERVER}", f"sc-res:{new_id('res')}", "sc-att:1")


async def made(cloud: MemoryCloud, zone: str = "fr-par-1", families: tuple[int, ...] = (4, 6)) -> str:
    """A machine as the reconciler makes one; its id."""
    ips = [(await cloud.reserve_ip(zone, 4 if family == 4 else 6, tags())).id for family in families]
    group = await cloud.create_security_group(zone, "sg", tags())
    request = InstanceRequest(
        name="s1.mx.sendchief.test", commercial_type="DEV1-S", image="i", ip_ids=tuple(ips),
        security_group_id=group.id,
    )  # fmt: skip
    instance = await cloud.create_instance(zone, request, tags())
    await cloud.tag_volume(zone, instance.volume_ids[0], tags())
    return instance.id


async def find(cloud: MemoryCloud, named: str | None = None, booked: frozenset[str] = frozenset()) -> Machine:
    return await Search(cloud, "test", SERVER, ZONES, booked).find(named)


async def test_a_machine_is_found_in_any_zone_with_all_its_parts() -> None:
    cloud = MemoryCloud()
    instance = await made(cloud, "fr-par-2")
    found = await find(cloud)
    assert (found.zone, found.instance.id, found.beside) == ("fr-par-2", instance, ())
    assert [part.kind for part in found.parts] == ["instance", "ip", "ip", "security_group", "volume"]
    assert {part.external_id for part in found.parts} == set(cloud.things)


@pytest.mark.parametrize("kind", ["ip", "security_group", "instance", "volume"])
@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("sc-env:", ("sc-env:production",)),
        ("sc-res:", ("sc-res:res_1",)),
        ("sc-res:", ()),
        ("sc-srv:", (f"sc-srv:{SERVER}", f"sc-srv:{OTHER}")),
        ("sc-att:", ("sc-att:first",)),
        ("sendchief", ("somebody",)),
    ],
)
async def test_a_part_with_other_tags_than_ours_is_refused(
    kind: str, was: str, becomes: tuple[str, ...]
) -> None:
    cloud = MemoryCloud()
    await made(cloud)
    _retag(cloud.living(kind)[0], was, becomes)
    with pytest.raises(NotAdoptable, match="carries other tags than we give"):
        await find(cloud)


@pytest.mark.parametrize("kind", ["ip", "security_group", "instance"])
async def test_a_machine_with_a_part_of_another_server_is_refused(kind: str) -> None:
    cloud = MemoryCloud()
    await made(cloud)
    _retag(cloud.living(kind)[0], "sc-srv:", (f"sc-srv:{OTHER}",))
    with pytest.raises(NotAdoptable):
        await find(cloud)


async def test_a_disk_that_has_no_tags_yet_is_its_machine_s() -> None:
    cloud = MemoryCloud()
    await made(cloud)
    (disk,) = cloud.living("volume")
    disk.tags = ()
    assert (await find(cloud)).part(disk.id).row_id is None


@pytest.mark.parametrize("families", [(4,), (6,), (4, 4), (4, 6, 6)])
async def test_a_machine_that_does_not_stand_behind_one_address_of_each_kind_is_refused(
    families: tuple[int, ...],
) -> None:
    cloud = MemoryCloud()
    await made(cloud, families=families)
    with pytest.raises(NotAdoptable, match="one IPv4 and one IPv6"):
        await find(cloud)


async def test_of_several_machines_one_has_to_be_named_and_the_rest_is_shown_beside_it() -> None:
    cloud = MemoryCloud()
    first, second = await made(cloud), await made(cloud)
    with pytest.raises(NotAdoptable, match=f"{first} .*{second} .*--machine"):
        await find(cloud)
    found = await find(cloud, second)
    assert found.instance.id == second
    assert sorted(kind for kind, _ in found.beside) == ["ip", "ip", "security_group", "volume"]


async def test_a_machine_that_is_on_the_books_is_not_looked_for() -> None:
    cloud = MemoryCloud()
    await made(cloud)
    row_id = next(tag for tag in cloud.living("instance")[0].tags if tag.startswith("sc-res:"))[7:]
    with pytest.raises(NotAdoptable, match="not on the books"):
        await find(cloud, booked=frozenset({row_id}))


def _retag(thing: Thing, was: str, becomes: tuple[str, ...]) -> None:
    kept = [tag for tag in thing.tags if not tag.startswith(was)]
    thing.tags = (*kept, *becomes)
