"""The official SDK drives the stand-in: what it sends is understood, what it gets it can read."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from scaleway import Client
from scaleway.block.v1 import BlockV1API
from scaleway.iam.v1alpha1 import IamV1Alpha1API
from scaleway.instance.v1 import types as instance
from scaleway.instance.v1.custom_api import InstanceUtilsV1API
from scaleway.ipam.v1 import IpamV1API, Reverse
from scaleway.marketplace.v2 import MarketplaceV2API

from tests.sandbox.scaleway.conftest import Stage

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

T = TypeVar("T")
ZONE = "fr-par-1"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEO7rFnbJUCovhlQzCaIHMWD4xzHKgdoRluQGvJIRqDQ somebody"


def sdk(stage: Stage) -> Client:
    return Client(
        access_key="SCWXXXXXXXXXXXXXXXXX",
        secret_key=stage.settings.secret_key.get_secret_value(),
        api_url=stage.url,
        default_project_id=stage.settings.project_id,
        default_organization_id=stage.settings.organization_id,
        default_zone=ZONE,
        default_region="fr-par",
    )


async def off_loop(call: Callable[..., T], **arguments: Any) -> T:
    """The SDK blocks; the stand-in answers on this loop."""
    return await asyncio.to_thread(call, **arguments)


async def until_state(api: InstanceUtilsV1API, server_id: str, state: str) -> instance.Server:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        server = (await off_loop(api.get_server, server_id=server_id)).server
        assert server is not None
        if server.state == state:
            return server
        await asyncio.sleep(0.1)
    raise AssertionError(f"server {server_id} did not become {state}")


async def test_quotas_and_their_use_are_readable(listening: Stage) -> None:
    iam, api = IamV1Alpha1API(sdk(listening)), InstanceUtilsV1API(sdk(listening))
    limits = {one.name: one.limit for one in (await off_loop(iam.list_quota)).quota}
    assert limits["instance_ips"] == listening.settings.quota_ips
    ip = (await off_loop(api.create_ip, type_="routed_ipv4", tags=[])).ip
    assert ip is not None
    shown = (await off_loop(api.get_dashboard)).dashboard
    assert shown is not None
    assert (shown.ips_count, shown.ips_unused, shown.servers_by_types) == (1, 1, {})
    await off_loop(api.delete_ip, ip=ip.id)


async def test_types_stock_and_images_are_readable(listening: Stage) -> None:
    api, market = InstanceUtilsV1API(sdk(listening)), MarketplaceV2API(sdk(listening))
    types = await off_loop(api.list_servers_types)
    assert types.servers["DEV1-S"].ncpus == 2
    assert types.servers["DEV1-S"].ram == 2 * 1024**3
    stock = await off_loop(api.get_server_types_availability)
    assert stock.servers["DEV1-S"].availability == "available"
    found = await off_loop(
        market.list_local_images_all, image_label="debian_trixie", zone=ZONE, type_="instance_sbs"
    )
    (image,) = [each for each in found if each.arch == "x86_64"]
    assert "DEV1-S" in image.compatible_commercial_types
    shown = await off_loop(api.get_image, image_id=image.id)
    assert shown.image is not None
    assert shown.image.name == "Debian Trixie"


async def test_the_whole_life_of_a_server(listening: Stage) -> None:
    api, block = InstanceUtilsV1API(sdk(listening)), BlockV1API(sdk(listening))
    iam, market = IamV1Alpha1API(sdk(listening)), MarketplaceV2API(sdk(listening))
    project = listening.settings.project_id
    key = await off_loop(iam.create_ssh_key, name="ours", public_key=KEY, project_id=project)
    assert key.fingerprint.startswith("SHA256:")
    images = await off_loop(
        market.list_local_images_all, image_label="debian_trixie", zone=ZONE, type_="instance_sbs"
    )
    image = next(each.id for each in images if each.arch == "x86_64")
    v4 = (await off_loop(api.create_ip, type_="routed_ipv4", project=project, tags=["sub:1"])).ip
    v6 = (await off_loop(api.create_ip, type_="routed_ipv6", project=project, tags=["sub:1"])).ip
    assert v4 is not None
    assert v6 is not None
    assert v6.address is None
    group = (
        await off_loop(
            api.create_security_group,
            name="mail",
            description="",
            stateful=True,
            project=project,
            inbound_default_policy="drop",
            outbound_default_policy="accept",
            enable_default_security=False,
        )
    ).security_group
    assert group is not None
    assert group.enable_default_security is False
    made = await off_loop(
        api._create_server,
        name="mx-1",
        commercial_type="DEV1-S",
        image=image,
        project=project,
        dynamic_ip_required=False,
        public_ips=[v4.id, v6.id],
        security_group=group.id,
        protected=False,
        tags=["sub:1", "op:1"],
    )
    assert made.server is not None
    assert made.server.state == "stopped"
    assert [each.family for each in made.server.public_ips] == ["inet", "inet6"]
    identifier = made.server.id
    await off_loop(
        api.set_server_user_data, server_id=identifier, key="cloud-init", content=b"#cloud-config\n{}\n"
    )
    assert (await off_loop(api.list_server_user_data, server_id=identifier)).user_data == ["cloud-init"]
    assert [each.id for each in await off_loop(api.list_servers_all, tags=["sub:1"])] == [identifier]

    await off_loop(api.server_action, server_id=identifier, action="poweron")
    running = await until_state(api, identifier, "running")
    assert running.location is not None
    volume_id = running.volumes["0"].id
    assert (await off_loop(block.get_volume, volume_id=volume_id)).references[0].status == "attached"
    await off_loop(api.server_action, server_id=identifier, action="stop_in_place")
    await until_state(api, identifier, "stopped in place")
    await off_loop(api._update_server, server_id=identifier, boot_type="rescue")
    await off_loop(api.server_action, server_id=identifier, action="poweron")
    rescued = await until_state(api, identifier, "running")
    assert rescued.boot_type == "rescue"
    await off_loop(api.server_action, server_id=identifier, action="poweroff")
    await until_state(api, identifier, "stopped")
    await off_loop(api.delete_server, server_id=identifier)
    assert (await off_loop(block.get_volume, volume_id=volume_id)).references[0].status == "detaching"
    await off_loop(block.wait_for_volume, volume_id=volume_id, options=None)
    await off_loop(block.delete_volume, volume_id=volume_id)
    await off_loop(api.delete_security_group, security_group_id=group.id)
    for each in (v4, v6):
        await off_loop(api.delete_ip, ip=each.id)
    await off_loop(iam.delete_ssh_key, ssh_key_id=key.id)
    books = listening.cloud.books()
    assert not any(
        books[kind] for kind in ("servers", "ips", "volumes", "security_groups", "ssh_keys", "reverses")
    )


async def test_rules_replace_ours_and_keep_those_of_the_cloud(listening: Stage) -> None:
    api = InstanceUtilsV1API(sdk(listening))
    created = await off_loop(
        api.create_security_group,
        name="g",
        description="",
        stateful=True,
        project=listening.settings.project_id,
    )
    assert created.security_group is not None
    identifier = created.security_group.id
    rule = instance.SetSecurityGroupRulesRequestRule(
        action="accept",
        protocol="TCP",
        direction="inbound",
        ip_range="0.0.0.0/0",
        position=1,
        dest_port_from=25,
    )
    await off_loop(api.set_security_group_rules, security_group_id=identifier, rules=[rule])
    rules = await off_loop(api.list_security_group_rules_all, security_group_id=identifier)
    assert [each.dest_port_from for each in rules if each.editable] == [25]
    assert [each.dest_port_from for each in rules if not each.editable] == [25, 465, 587, 25, 465, 587]


async def test_an_ipv6_reverse_is_set_through_ipam_and_shows_later(listening: Stage) -> None:
    api, ipam = InstanceUtilsV1API(sdk(listening)), IpamV1API(sdk(listening))
    ip = (await off_loop(api.create_ip, type_="routed_ipv6", project=listening.settings.project_id)).ip
    assert ip is not None
    address = str(next(iter(listening.cloud.books()["ips"]))["prefix"]).replace("/80", "1")
    listening.names.forward[("mx.example.test", "AAAA")] = {address}
    reverse = Reverse(hostname="mx.example.test", address=address)
    answered = await off_loop(ipam.update_ip, ip_id=ip.ipam_id, reverses=[reverse])
    assert answered.reverses == []
    deadline = time.monotonic() + 5
    while not (await off_loop(ipam.get_ip, ip_id=ip.ipam_id)).reverses:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert listening.names.reverse == {address: "mx.example.test"}
