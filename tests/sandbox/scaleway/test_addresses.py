"""Addresses and their reverse names: the traps that a client must survive."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from tests.sandbox.scaleway.calls import Z, create, kind_of, reserve
from tests.sandbox.scaleway.conftest import Stage

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]


async def test_the_address_released_last_comes_back_first(stage: Stage) -> None:
    async with stage.client() as client:
        first, second = await reserve(client), await reserve(client)
        for each in (second, first):
            assert (await client.delete(f"{Z}/ips/{each['id']}")).status_code == 204
        assert (await reserve(client))["address"] == first["address"]
        assert kind_of(await client.get(f"{Z}/ips/{second['id']}")) == (404, "not_found")


async def test_the_pool_offers_what_it_is_told_to(stage: Stage) -> None:
    wanted = [str(each) for each in stage.hosts.namespace.addresses.vps_v4()[20:22]]
    assert stage.cloud.offer(wanted)["next"][:2] == wanted
    async with stage.client() as client:
        assert [(await reserve(client))["address"] for _ in wanted] == wanted
    with pytest.raises(ValueError, match="reserved already"):
        stage.cloud.offer(wanted[:1])
    with pytest.raises(ValueError, match="not one of this cloud"):
        stage.cloud.offer(["203.0.113.9"])


async def test_an_ipv6_address_is_a_prefix_until_there_is_a_server(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client, "routed_ipv6")
        assert ip["address"] is None
        server = (await create(client, public_ips=[ip["id"]])).json()["server"]
    (shown,) = server["public_ips"]
    assert IPv6Address(shown["address"]) in IPv6Network(ip["prefix"])
    assert (shown["provisioning_mode"], shown["netmask"]) == ("slaac", "64")


async def test_addresses_are_found_by_id_or_by_themselves(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        assert (await client.get(f"{Z}/ips/{ip['address']}")).json()["ip"]["id"] == ip["id"]


async def test_the_quota_of_addresses_is_kept(stage: Stage) -> None:
    async with stage.client() as client:
        for _ in range(stage.settings.quota_ips):
            await reserve(client)
        answer = await client.post(f"{Z}/ips", json={"type": "routed_ipv4"})
    assert kind_of(answer) == (403, "quotas_exceeded")
    assert answer.json()["details"][0]["quota"] == stage.settings.quota_ips


async def test_a_reverse_is_refused_until_the_name_resolves_to_the_address(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        path = f"{Z}/ips/{ip['id']}"
        refused = await client.patch(path, json={"reverse": "mx.example.test"})
        assert kind_of(refused) == (400, "invalid_arguments")
        assert refused.json()["details"][0]["argument_name"] == "reverse"
        stage.names.forward[("mx.example.test", "A")] = {ip["address"]}
        assert (await client.patch(path, json={"reverse": "mx.example.test"})).json()["ip"]["reverse"]
        assert stage.names.reverse == {ip["address"]: "mx.example.test"}
        assert (await client.patch(path, json={"tags": ["kept"]})).json()["ip"][
            "reverse"
        ] == "mx.example.test"
        assert (await client.patch(path, json={"reverse": None})).json()["ip"]["reverse"] is None
    assert stage.names.reverse == {}


async def test_releasing_an_address_takes_its_reverse_away(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        stage.names.forward[("mx.example.test", "A")] = {ip["address"]}
        await client.patch(f"{Z}/ips/{ip['id']}", json={"reverse": "mx.example.test"})
        await client.delete(f"{Z}/ips/{ip['id']}")
    assert stage.names.reverse == {}


async def test_null_detaches_and_absence_does_not(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        server = (await create(client, public_ips=[ip["id"]])).json()["server"]
        path = f"{Z}/ips/{ip['id']}"
        assert (await client.patch(path, json={"tags": []})).json()["ip"]["server"]["id"] == server["id"]
        assert (await client.patch(path, json={"server": None})).json()["ip"]["server"] is None
        again = (await client.get(f"{Z}/servers/{server['id']}")).json()["server"]
    assert again["public_ips"] == []
