"""Our client against the sandbox's Scaleway, without switching anything on."""

from __future__ import annotations

import asyncio

import pytest

from services.provisioner.ports import (
    CloudBusy,
    CloudDenied,
    CloudNotFound,
    CloudQuota,
    CloudRefused,
    InstanceRequest,
)
from services.provisioner.providers.scaleway import Scaleway
from services.provisioner.steps.reserve_addresses import host_of
from services.provisioner.steps.security_group import rules
from tests.sandbox.scaleway.conftest import Stage, network, stage

__all__ = ["network", "stage"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
ZONE = "fr-par-1"
TAGS = ("sendchief", "sc-env:test", "sc-srv:srv_1", "sc-res:res_1", "sc-att:1")


def cloud_of(stage: Stage, key: str | None = None) -> Scaleway:
    return Scaleway(stage.client(key), stage.settings.project_id)


async def made(cloud: Scaleway) -> str:
    """A stopped server behind both addresses."""
    v4 = await cloud.reserve_ip(ZONE, 4, TAGS)
    v6 = await cloud.reserve_ip(ZONE, 6, TAGS)
    group = await cloud.create_security_group(ZONE, "sg", TAGS)
    request = InstanceRequest(
        name="s1.mx.sendchief.test",
        commercial_type="DEV1-S",
        image=await cloud.find_image(ZONE, "debian_trixie", "DEV1-S"),
        ip_ids=(v4.id, v6.id),
        security_group_id=group.id,
    )
    return (await cloud.create_instance(ZONE, request, TAGS)).id


async def test_addresses_are_reserved_listed_and_released(stage: Stage) -> None:
    cloud = cloud_of(stage)
    v4 = await cloud.reserve_ip(ZONE, 4, TAGS)
    v6 = await cloud.reserve_ip(ZONE, 6, TAGS)
    assert v4.address is not None
    assert v6.address is None
    assert host_of(v6).endswith("::1")
    assert {ip.id for ip in await cloud.list_ips(ZONE, "sc-res:res_1")} == {v4.id, v6.id}
    assert await cloud.list_ips(ZONE, "sc-res:res_") == []
    assert (await cloud.get_ip(ZONE, v4.id)).tags == TAGS
    await cloud.release_ip(ZONE, v4.id)
    with pytest.raises(CloudNotFound):
        await cloud.get_ip(ZONE, v4.id)


async def test_the_reverse_of_an_ipv4_is_refused_until_the_name_resolves(stage: Stage) -> None:
    cloud = cloud_of(stage)
    ip = await cloud.reserve_ip(ZONE, 4, TAGS)
    with pytest.raises(CloudRefused) as refused:
        await cloud.set_reverse(ZONE, ip, host_of(ip), "a.test")
    assert refused.value.argument == "reverse"
    stage.names.forward["a.test", "A"] = {host_of(ip)}
    await cloud.set_reverse(ZONE, ip, host_of(ip), "a.test")
    assert await cloud.reverse_of(ZONE, ip, host_of(ip)) == "a.test"
    await cloud.set_reverse(ZONE, ip, host_of(ip), None)
    assert await cloud.reverse_of(ZONE, ip, host_of(ip)) is None
    assert stage.names.reverse == {}


async def test_the_reverse_of_an_ipv6_shows_a_moment_later(stage: Stage) -> None:
    cloud = cloud_of(stage)
    ip = await cloud.reserve_ip(ZONE, 6, TAGS)
    stage.names.forward["a.test", "AAAA"] = {host_of(ip)}
    await cloud.set_reverse(ZONE, ip, host_of(ip), "a.test")
    assert await cloud.reverse_of(ZONE, ip, host_of(ip)) is None
    for _ in range(50):
        if await cloud.reverse_of(ZONE, ip, host_of(ip)) == "a.test":
            break
        await asyncio.sleep(0.05)
    assert stage.names.reverse == {host_of(ip): "a.test"}
    await cloud.set_reverse(ZONE, ip, host_of(ip), None)
    for _ in range(50):
        if not stage.names.reverse:
            break
        await asyncio.sleep(0.05)
    assert stage.names.reverse == {}


async def test_a_packet_filter_opens_mail_and_keeps_its_rules(stage: Stage) -> None:
    cloud = cloud_of(stage)
    group = await cloud.create_security_group(ZONE, "sg", TAGS)
    assert not (await cloud.get_security_group(ZONE, group.id)).blocks_mail
    wanted = rules(["198.51.100.62/32"], ["2001:db8:5c::3e/128"])
    await cloud.set_rules(ZONE, group.id, wanted)
    assert set(await cloud.get_rules(ZONE, group.id)) == set(wanted)
    assert [one.id for one in await cloud.list_security_groups(ZONE, "sc-env:test")] == [group.id]
    await cloud.delete_security_group(ZONE, group.id)


async def test_an_organisation_without_leave_to_mail_is_noticed(stage: Stage) -> None:
    stage.settings.smtp_unlocked = False
    cloud = cloud_of(stage)
    group = await cloud.create_security_group(ZONE, "sg", TAGS)
    stage.settings.smtp_unlocked = True
    assert (await cloud.get_security_group(ZONE, group.id)).blocks_mail
    assert any(not rule.editable for rule in await cloud.get_rules(ZONE, group.id))


async def test_a_server_is_created_stopped_with_tags_addresses_and_a_disk(stage: Stage) -> None:
    cloud = cloud_of(stage)
    key = await made(cloud)
    found = await cloud.get_instance(ZONE, key)
    assert (found.state, found.tags, len(found.ip_ids), len(found.volume_ids)) == ("stopped", TAGS, 2, 1)
    assert [one.id for one in await cloud.list_instances(ZONE, "sc-srv:srv_1")] == [key]
    assert await cloud.list_instances(ZONE, "sc-srv:srv_2") == []
    await cloud.set_user_data(ZONE, key, b"#cloud-config\n{}\n")
    volume = found.volume_ids[0]
    await cloud.tag_volume(ZONE, volume, TAGS)
    assert [one.id for one in await cloud.list_volumes(ZONE, "sc-srv:srv_1")] == [volume]
    assert (await cloud.get_volume(ZONE, volume)).in_use
    with pytest.raises(CloudBusy):
        await cloud.delete_volume(ZONE, volume)
    with pytest.raises(CloudBusy):
        await cloud.delete_security_group(ZONE, str(found.security_group_id))
    await cloud.delete_instance(ZONE, key)
    for _ in range(60):
        if not (await cloud.get_volume(ZONE, volume)).in_use:
            break
        await asyncio.sleep(0.05)
    await cloud.delete_volume(ZONE, volume)
    with pytest.raises(CloudNotFound):
        await cloud.get_volume(ZONE, volume)


async def test_switching_off_what_is_off_is_a_matter_of_time(stage: Stage) -> None:
    cloud = cloud_of(stage)
    with pytest.raises(CloudBusy):
        await cloud.power_off(ZONE, await made(cloud))


async def test_stock_is_told_for_every_type_over_all_pages(stage: Stage) -> None:
    stock = await cloud_of(stage).availability(ZONE)
    assert {"DEV1-S", "PLAY2-PICO"} <= set(stock)
    assert set(stock.values()) <= {"available", "scarce", "shortage"}


async def test_types_are_told_with_price_size_and_stock(stage: Stage) -> None:
    types = {one.name: one for one in await cloud_of(stage).machine_types(ZONE)}
    small = types["DEV1-S"]
    assert (small.monthly_cents, small.vcpus, small.memory_bytes) == (655, 2, 2 * 1024**3)
    assert small.availability == "available"


async def test_limits_are_told_with_what_is_used_in_a_zone(stage: Stage) -> None:
    cloud = cloud_of(stage)
    before = {one.resource: one for one in await cloud.limits(ZONE)}
    assert before["servers"].quota == stage.settings.quota_servers
    assert before["addresses"].quota == stage.settings.quota_ips
    await made(cloud)
    await cloud.reserve_ip("nl-ams-1", 4, TAGS)
    after = {one.resource: one.used for one in await cloud.limits(ZONE)}
    assert after["servers"] == before["servers"].used + 1
    assert after["addresses"] == before["addresses"].used + 2


async def test_a_stopped_server_is_told_what_to_boot_next(stage: Stage) -> None:
    cloud = cloud_of(stage)
    key = await made(cloud)
    assert (await cloud.get_instance(ZONE, key)).boot_type == "local"
    await cloud.set_boot_type(ZONE, key, "rescue")
    assert (await cloud.get_instance(ZONE, key)).boot_type == "rescue"
    with pytest.raises(CloudBusy):
        await cloud.stop_in_place(ZONE, key)


async def test_an_unknown_image_or_type_is_refused(stage: Stage) -> None:
    cloud = cloud_of(stage)
    with pytest.raises(CloudNotFound):
        await cloud.find_image(ZONE, "debian_potato", "DEV1-S")
    with pytest.raises(CloudRefused):
        await cloud.find_image(ZONE, "debian_trixie", "NO-SUCH")


async def test_a_used_up_quota_is_told_apart_from_a_missing_right(stage: Stage) -> None:
    cloud = cloud_of(stage)
    for _ in range(stage.settings.quota_ips):
        await cloud.reserve_ip(ZONE, 4, TAGS)
    with pytest.raises(CloudQuota):
        await cloud.reserve_ip(ZONE, 4, TAGS)
    with pytest.raises(CloudDenied):
        await cloud_of(stage, "00000000-0000-4000-8000-000000000000").reserve_ip(ZONE, 4, TAGS)
