"""Servers that are refused, lost, delayed and forgotten: the traps that a client must survive."""

import uuid

import pytest

from sandbox.faults import Fault, Faults
from sandbox.scaleway.habits import HABITS
from tests.sandbox.scaleway.calls import Z, create, image, kind_of, reserve, until, until_running
from tests.sandbox.scaleway.conftest import Stage

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]


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


async def test_a_reboot_goes_through_off_and_comes_back_with_the_same_addresses(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        path = f"{Z}/servers/{(await create(client, public_ips=[ip['id']])).json()['server']['id']}"

        off = await client.post(f"{path}/action", json={"action": "reboot"})
        assert kind_of(off) == (400, "invalid_request_error")
        await client.post(f"{path}/action", json={"action": "poweron"})
        await until_running(client, path)
        task = (await client.post(f"{path}/action", json={"action": "reboot"})).json()["task"]
        assert task["status"] == "pending"
        assert (await client.get(path)).json()["server"]["state"] in ("stopping", "starting")
        assert kind_of(await client.post(f"{path}/action", json={"action": "poweroff"})) == (
            409,
            "transient_state",
        )
        await until_running(client, path)
        server = (await client.get(path)).json()["server"]
        assert [each["address"] for each in server["public_ips"]] == [ip["address"]]


async def test_terminate_leaves_volume_and_addresses_behind(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        server = (await create(client, public_ips=[ip["id"]])).json()["server"]
        path = f"{Z}/servers/{server['id']}"
        await client.post(f"{path}/action", json={"action": "poweron"})

        async def gone() -> bool:
            return (await client.get(path)).status_code == 404

        await until_running(client, path)
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


async def test_a_running_server_comes_back_after_down_and_up(stage: Stage) -> None:
    async with stage.client() as client:
        ip = await reserve(client)
        server = (await create(client, public_ips=[ip["id"]])).json()["server"]
        path = f"{Z}/servers/{server['id']}"
        await client.post(f"{path}/action", json={"action": "poweron"})

        await until_running(client, path)
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
