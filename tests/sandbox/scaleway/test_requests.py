"""Who may call, and how a request is refused."""

import uuid
from typing import Any

import pytest

from tests.sandbox.scaleway.calls import Z, kind_of, reserve
from tests.sandbox.scaleway.conftest import Stage

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]


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
