"""A fresh address is checked once, the verdict is published, and nothing of it outlives its server."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.provisioner_events import AddressReleased, AddressReserved, ServerDeleted
from shared.contracts.reputation_events import AddressChecked
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.reputation.conftest import World


async def checked(world: World, event: AddressReserved) -> list[AddressChecked]:
    found = await world.bus.emitted(AddressChecked)
    return [item for item in found if item.address_id == event.address_id]


async def reputation(client: httpx.AsyncClient, trust: Trust, event: AddressReserved) -> httpx.Response:
    headers = trust.user("reputation", workspace_id=event.workspace_id, permissions=["reputation.read"])
    return await client.get(
        f"/v1/workspaces/{event.workspace_id}/servers/{event.server_id}/reputation", headers=headers
    )


async def test_a_clean_address_is_said_to_be_clean(world: World, reserved: AddressReserved) -> None:
    await world.bus.deliver(reserved)
    (said,) = await checked(world, reserved)
    assert (said.verdict, said.listings) == ("clean", ())
    assert set(said.clean) == {"one", "uno", "two", "three"}
    assert (said.server_id, said.workspace_id, said.address) == (
        reserved.server_id,
        reserved.workspace_id,
        "198.51.100.20",
    )


async def test_a_listed_address_names_the_lists_that_refused_it(
    world: World, reserved: AddressReserved
) -> None:
    world.list_address("one", "three")
    await world.bus.deliver(reserved)
    (said,) = await checked(world, reserved)
    assert said.verdict == "listed"
    assert [item.blacklist for item in said.listings] == ["one", "three"]
    assert said.listings[0].delist_url == "https://one.test/"


async def test_a_second_delivery_checks_nothing(world: World, reserved: AddressReserved) -> None:
    envelope = await world.bus.deliver(reserved)
    await world.bus.deliver(reserved, envelope=envelope)
    assert len(await checked(world, reserved)) == 1


async def test_silent_lists_are_asked_again_until_something_is_known(
    world: World, reserved: AddressReserved
) -> None:
    world.silence("one", "uno")
    await world.bus.deliver(reserved)
    assert [item.verdict for item in await checked(world, reserved)] == ["unknown"]
    await world.monitor.tick()
    assert len(await checked(world, reserved)) == 1  # not due yet
    world.clear("one", "uno")
    world.clock.advance(timedelta(seconds=21))
    await world.monitor.tick()
    assert [item.verdict for item in await checked(world, reserved)] == ["unknown", "clean"]
    world.clock.advance(timedelta(hours=2))
    await world.monitor.tick()
    assert len(await checked(world, reserved)) == 2


async def test_versions_of_published_facts_grow(world: World, reserved: AddressReserved) -> None:
    world.silence("one", "uno")
    await world.bus.deliver(reserved)
    world.clock.advance(timedelta(seconds=21))
    await world.monitor.tick()
    versions = [
        item.aggregateversion for item in await world.bus.envelopes() if item.subject == reserved.address_id
    ]
    assert versions == [1, 2]


async def test_a_release_that_overtakes_the_reservation_wins(world: World, reserved: AddressReserved) -> None:
    await world.bus.deliver(
        AddressReleased(
            workspace_id=reserved.workspace_id,
            server_id=reserved.server_id,
            address_id=reserved.address_id,
            address=reserved.address,
        )
    )
    await world.bus.deliver(reserved)
    assert await checked(world, reserved) == []


async def test_every_address_of_the_server_is_shown_with_who_refused_it(
    world: World, reserved: AddressReserved, client: httpx.AsyncClient, trust: Trust
) -> None:
    world.list_address("one")
    await world.bus.deliver(reserved)
    world.clear("one")
    second = reserved.model_copy(
        update={"address_id": new_id("adr"), "address": "198.51.100.21", "attempt": 2}
    )
    await world.bus.deliver(second)
    answer = await reputation(client, trust, reserved)
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 200
    assert [(item["address"], item["last_check"]["verdict"]) for item in body["addresses"]] == [
        ("198.51.100.20", "listed"),
        ("198.51.100.21", "clean"),
    ]
    refusing = [item for item in body["addresses"][0]["last_check"]["results"] if item["status"] == "listed"]
    assert [(item["blacklist"], item["codes"]) for item in refusing] == [("one", ["127.0.0.2"])]


async def test_another_workspaces_server_answers_as_an_unknown_one(
    world: World, reserved: AddressReserved, client: httpx.AsyncClient, trust: Trust
) -> None:
    await world.bus.deliver(reserved)
    stranger = reserved.model_copy(update={"workspace_id": new_id("ws")})
    unknown = stranger.model_copy(update={"server_id": new_id("srv")})
    foreign_answer = await reputation(client, trust, stranger)
    unknown_answer = await reputation(client, trust, unknown)
    assert (foreign_answer.status_code, unknown_answer.status_code) == (404, 404)
    assert foreign_answer.content == unknown_answer.content


async def test_without_the_permission_nothing_is_shown(
    client: httpx.AsyncClient, trust: Trust, reserved: AddressReserved
) -> None:
    headers = trust.user("reputation", workspace_id=reserved.workspace_id)
    path = f"/v1/workspaces/{reserved.workspace_id}/servers/{reserved.server_id}/reputation"
    assert (await client.get(path, headers=headers)).status_code == 403


@pytest.mark.parametrize("ending", ["server", "workspace"])
async def test_nothing_outlives_its_server_or_workspace(
    world: World, reserved: AddressReserved, client: httpx.AsyncClient, trust: Trust, ending: str
) -> None:
    await world.bus.deliver(reserved)
    if ending == "server":
        await world.bus.deliver(
            ServerDeleted(workspace_id=reserved.workspace_id, server_id=reserved.server_id)
        )
    else:
        await world.bus.deliver(WorkspaceDeleted(workspace_id=reserved.workspace_id))
    assert (await reputation(client, trust, reserved)).status_code == 404


async def test_what_arrives_after_the_server_has_ended_is_not_taken_up(
    world: World, reserved: AddressReserved
) -> None:
    await world.bus.deliver(ServerDeleted(workspace_id=reserved.workspace_id, server_id=reserved.server_id))
    await world.bus.deliver(reserved)
    assert await checked(world, reserved) == []


async def test_ending_one_server_leaves_the_workspaces_other_one(
    world: World, reserved: AddressReserved, client: httpx.AsyncClient, trust: Trust
) -> None:
    other = reserved.model_copy(update={"server_id": new_id("srv"), "address_id": new_id("adr")})
    await world.bus.deliver(reserved)
    await world.bus.deliver(other)
    await world.bus.deliver(ServerDeleted(workspace_id=reserved.workspace_id, server_id=reserved.server_id))
    assert (await reputation(client, trust, other)).status_code == 200


async def test_the_lists_are_shown_to_anybody_signed_in(client: httpx.AsyncClient, trust: Trust) -> None:
    assert (await client.get("/v1/blacklists")).status_code == 401
    body = (await client.get("/v1/blacklists", headers=trust.user("reputation"))).json()
    assert [item["name"] for item in body["items"]] == ["one", "uno", "two", "three"]
    assert body["items"][0]["codes"] == {"127.0.0.2": "spam"}
