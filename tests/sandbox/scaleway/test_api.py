"""What the API refuses, loses, delays and forgets: the traps that a client must survive."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import httpx
import pytest

from sandbox.faults import Fault, Faults
from sandbox.scaleway.habits import HABITS
from tests.sandbox.scaleway.conftest import Stage

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

Z = "/instance/v1/zones/fr-par-1"


async def reserve(client: httpx.AsyncClient, kind: str = "routed_ipv4", **fields: Any) -> dict[str, Any]:
    answer = await client.post(f"{Z}/ips", json={"type": kind, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["ip"])


async def image(client: httpx.AsyncClient, arch: str = "x86_64") -> str:
    query = {"image_label": "debian_trixie", "zone": "fr-par-1", "type": "instance_sbs"}
    found = (await client.get("/marketplace/v2/local-images", params=query)).json()["local_images"]
    return str(next(each["id"] for each in found if each["arch"] == arch))


async def create(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {
        "name": "mx-1",
        "commercial_type": "DEV1-S",
        "image": await image(client),
        "dynamic_ip_required": False,
    }
    return await client.post(f"{Z}/servers", json={**body, **fields})


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"])


# -- who may call, and how -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "reason"),
    [("not a key", "invalid_argument"), ("6a1c9f0e-3b52-4c1d-9d44-0c5b6f1f2a77", "not_found")],
)
async def test_a_bad_key_is_refused(stage: Stage, key: str, reason: str) -> None:
    async with stage.client(key) as client:
        answer = await client.get(f"{Z}/servers")
    assert kind_of(answer) == (401, "denied_authentication")
    assert answer.json()["reason"] == reason


async def test_every_answer_carries_a_request_id(stage: Stage) -> None:
    async with stage.client() as client:
        answers = [await client.get(path) for path in (f"{Z}/servers", f"{Z}/ips/none", "/nowhere")]
    assert all(uuid.UUID(each.headers["x-request-id"]) for each in answers)


async def test_somebody_elses_project_is_refused(stage: Stage) -> None:
    async with stage.client() as client:
        answer = await client.post(f"{Z}/ips", json={"type": "routed_ipv4", "project": str(uuid.uuid4())})
    assert kind_of(answer) == (403, "permissions_denied")


@pytest.mark.parametrize(
    ("body", "argument"),
    [
        ({}, "type"),
        ({"type": "nat"}, "type"),
        ({"type": "routed_ipv4", "tags": "x"}, "tags"),
    ],
)
async def test_bad_arguments_are_named(stage: Stage, body: dict[str, Any], argument: str) -> None:
    async with stage.client() as client:
        answer = await client.post(f"{Z}/ips", json=body)
    assert kind_of(answer) == (400, "invalid_arguments")
    assert [each["argument_name"] for each in answer.json()["details"]] == [argument]
    assert stage.cloud.books()["ips"] == []


async def test_a_body_that_is_not_json_is_refused(stage: Stage) -> None:
    async with stage.client() as client:
        assert kind_of(await client.post(f"{Z}/ips", content=b"{")) == (400, "invalid_request_error")


async def test_things_of_one_zone_are_not_in_another(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        other = await client.get(f"/instance/v1/zones/nl-ams-1/ips/{ip['id']}")
    assert kind_of(other) == (404, "not_found")
    assert other.json()["resource"] == "instance_ip"


async def test_lists_are_paged_with_totals_and_links(stage: Stage) -> None:
    async with stage.client() as client:
        for number in range(3):
            await reserve(client, tags=[f"n:{number}"])
        first = await client.get(f"{Z}/ips", params={"page": 1, "per_page": 2})
        second = await client.get(f"{Z}/ips", params={"page": 2, "per_page": 2})
        tagged = await client.get(f"{Z}/ips", params={"tags": "n:1"})
    assert first.headers["x-total-count"] == "3"
    assert (
        first.headers["link"] == '</ips?page=2&per_page=2&>; rel="next",</ips?page=2&per_page=2&>; rel="last"'
    )
    assert [len(each.json()["ips"]) for each in (first, second, tagged)] == [2, 1, 1]
    assert "link" not in second.headers


# -- addresses -------------------------------------------------------------------------------------------------


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


# -- servers ---------------------------------------------------------------------------------------------------


async def test_a_server_is_created_stopped_and_its_task_leads_nowhere(stage: Stage) -> None:
    async with stage.client() as client:
        answer = await create(client, tags=["sub:1"])
        server = answer.json()["server"]
        assert answer.headers["location"] == f"{Z}/servers/{server['id']}"
        assert (server["state"], server["location"]) == ("stopped", None)
        task = (await client.post(f"{Z}/servers/{server['id']}/action", json={"action": "poweron"})).json()[
            "task"
        ]
        assert task["status"] == "pending"
        assert kind_of(await client.get(f"{Z}/tasks/{task['id']}")) == (404, "not_found")
        second = await client.post(f"{Z}/servers/{server['id']}/action", json={"action": "poweron"})
        assert kind_of(second) == (409, "transient_state")
        assert kind_of(await client.delete(f"{Z}/servers/{server['id']}")) == (400, "invalid_request_error")


async def test_an_address_goes_to_one_server_only(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        assert (await create(client, public_ips=[ip["id"]])).status_code == 201
        assert kind_of(await create(client, public_ips=[ip["id"]])) == (412, "precondition_failed")
    assert len(stage.cloud.books()["servers"]) == 1


async def test_bad_servers_are_refused_and_nothing_is_made(stage: Stage) -> None:
    async with stage.client() as client:
        assert kind_of(await create(client, commercial_type="HUGE-1")) == (400, "invalid_arguments")
        assert kind_of(await create(client, image=str(uuid.uuid4()))) == (404, "not_found")
        assert kind_of(await create(client, image=await image(client, "arm64"))) == (400, "invalid_arguments")
        assert kind_of(await create(client, security_group=str(uuid.uuid4()))) == (404, "not_found")
        assert kind_of(await client.post(f"{Z}/servers", json={"name": "x"})) == (400, "invalid_arguments")
    books = stage.cloud.books()
    assert (books["servers"], books["volumes"]) == ([], [])


async def test_stock_runs_out_although_it_said_available(stage: Stage) -> None:
    stage.faults.arm("scaleway", "servers.create", Fault("out_of_stock"))
    async with stage.client() as client:
        stock = (await client.get(f"{Z}/products/servers/availability")).json()["servers"]["DEV1-S"]
        assert stock == {"availability": "available"}
        assert (await create(client)).json()["type"] == "out_of_stock"
        stage.cloud.set_availability("fr-par-1", "DEV1-S", "shortage")
        stock = (await client.get(f"{Z}/products/servers/availability")).json()["servers"]["DEV1-S"]
        assert stock == {"availability": "shortage"}
        assert (await create(client)).json()["type"] == "out_of_stock"
    assert stage.cloud.books()["servers"] == []


async def test_a_lost_answer_leaves_a_server_that_its_tags_find(stage: Stage) -> None:
    stage.faults.arm("scaleway", "servers.create", Fault("error_after_commit", status=504))
    async with stage.client() as client:
        assert (await create(client, tags=["sendchief", "op:7"])).status_code == 504
        found = (await client.get(f"{Z}/servers", params={"tags": "sendchief,op:7"})).json()["servers"]
    assert [each["name"] for each in found] == ["mx-1"]


async def test_terminate_leaves_volume_and_addresses_behind(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        server = (await create(client, public_ips=[ip["id"]])).json()["server"]
        path = f"{Z}/servers/{server['id']}"
        await client.post(f"{path}/action", json={"action": "poweron"})

        async def running() -> bool:
            return bool((await client.get(path)).json()["server"]["state"] == "running")

        async def gone() -> bool:
            return (await client.get(path)).status_code == 404

        await until(running)
        await client.post(f"{path}/action", json={"action": "terminate"})
        await until(gone)
        volume = server["volumes"]["0"]["id"]
        block = f"/block/v1/zones/fr-par-1/volumes/{volume}"
        assert kind_of(await client.delete(block)) == (412, "precondition_failed")

        async def deletable() -> bool:
            return (await client.delete(block)).status_code == 204

        await until(deletable)
        assert (await client.get(f"{Z}/ips/{ip['id']}")).json()["ip"]["state"] == "detached"
    assert stage.hosts.all() == []


async def test_user_data_is_raw_text_and_a_missing_key_has_an_empty_answer(stage: Stage) -> None:
    async with stage.client() as client:
        server = (await create(client)).json()["server"]
        path = f"{Z}/servers/{server['id']}/user_data"
        missing = await client.get(f"{path}/cloud-init")
        assert (missing.status_code, missing.content) == (404, b"")
        content = b"#cloud-config\n\xff\n"
        put = await client.patch(
            f"{path}/cloud-init", content=content, headers={"Content-Type": "text/plain"}
        )
        assert put.status_code == 204
        shown = await client.get(f"{path}/cloud-init")
        assert (shown.content, shown.headers["content-type"].partition(";")[0]) == (content, "text/plain")
        refused = await client.patch(f"{path}/cloud-init", json={})
        assert kind_of(refused) == (400, "invalid_request_error")


async def test_the_mail_ban_follows_the_security_group(stage: Stage) -> None:
    async with stage.client() as client:
        group = (await client.post(f"{Z}/security_groups", json={"name": "open"})).json()["security_group"]
        assert group["enable_default_security"] is True
        server = (await create(client, security_group=group["id"])).json()["server"]
        instance = stage.hosts.get(server["id"])
        assert instance is not None
        assert not await stage.hosts.namespace.mail_allowed(instance.interface)
        path = f"{Z}/security_groups/{group['id']}"
        await client.patch(path, json={"enable_default_security": False})
        assert await stage.hosts.namespace.mail_allowed(instance.interface)
        assert kind_of(await client.delete(path)) == (412, "precondition_failed")
        await client.delete(f"{Z}/servers/{server['id']}")
        assert not await stage.hosts.namespace.mail_allowed(instance.interface)


async def test_an_organization_without_the_check_is_told_nothing_and_stays_banned(stage: Stage) -> None:
    stage.settings.smtp_unlocked = False
    async with stage.client() as client:
        body = {"name": "open", "enable_default_security": False}
        answer = await client.post(f"{Z}/security_groups", json=body)
    assert (answer.status_code, answer.json()["security_group"]["enable_default_security"]) == (201, True)


async def test_a_bad_ssh_key_is_refused_and_a_good_one_answers_200(stage: Stage) -> None:
    path = "/iam/v1alpha1/ssh-keys"
    good = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEO7rFnbJUCovhlQzCaIHMWD4xzHKgdoRluQGvJIRqDQ x"
    async with stage.client() as client:
        bad = await client.post(path, json={"name": "a", "public_key": "ssh-ed25519 AAAA"})
        assert kind_of(bad) == (400, "invalid_arguments")
        assert (await client.post(path, json={"name": "a", "public_key": good})).status_code == 200


async def test_an_unknown_image_label_is_not_found(stage: Stage) -> None:
    async with stage.client() as client:
        answer = await client.get("/marketplace/v2/local-images", params={"image_label": "beos"})
    assert answer.json()["resource"] == "MarketplaceImage"


# -- the sandbox's own life --------------------------------------------------------------------------------------


async def test_a_running_server_comes_back_after_down_and_up(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        server = (await create(client, public_ips=[ip["id"]])).json()["server"]
        path = f"{Z}/servers/{server['id']}"
        await client.post(f"{path}/action", json={"action": "poweron"})

        async def running() -> bool:
            return bool((await client.get(path)).json()["server"]["state"] == "running")

        await until(running)
    await stage.cloud.stop()
    again = stage.reopened()
    await again.resume()
    assert [each["state"] for each in again.books()["servers"]] == ["running"]
    await again.stop()


async def test_default_misbehaviour_is_the_same_for_the_same_seed() -> None:
    def struck(seed: int) -> list[int]:
        faults = Faults(seed=seed, habits=HABITS)
        return [call for call in range(12) if faults.take("scaleway", "servers.create") is not None]

    assert struck(1) == struck(1)
    assert len(struck(1)) == 4
