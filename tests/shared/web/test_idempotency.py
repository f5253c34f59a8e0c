"""A request with a key takes effect once."""

import asyncio

import httpx
import pytest

from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust
from tests.shared.web.notes import NOTES, B, key


async def test_a_repeated_post_takes_effect_once(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    headers = owner | key()
    first = await client.post(NOTES, headers=headers, json={"text": "one"})
    again = await client.post(NOTES, headers=headers, json={"text": "one"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_secret_is_shown_once_and_not_stored(
    client: httpx.AsyncClient, owner: dict[str, str], kit_database: ServiceDatabase
) -> None:
    headers = owner | key()
    first = await client.post(NOTES, headers=headers, json={"text": "one"})
    again = await client.post(NOTES, headers=headers, json={"text": "one"})
    assert (first.json()["token"], again.json()["token"]) == ("shown-once", None)
    stored = kit_database.postgres.psql("select response from idempotency_key", kit_database.name)
    assert "shown-once" not in stored


async def test_a_key_for_another_body_is_refused(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    headers = owner | key()
    await client.post(NOTES, headers=headers, json={"text": "one"})
    other = await client.post(NOTES, headers=headers, json={"text": "two"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("value", [None, "", "with space", "x" * 129])
async def test_a_missing_or_malformed_key_is_refused(
    client: httpx.AsyncClient, owner: dict[str, str], value: str | None
) -> None:
    headers = owner if value is None else owner | {"Idempotency-Key": value}
    answer = await client.post(NOTES, headers=headers, json={"text": "one"})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.asvs("2.3.4")
async def test_of_many_at_the_same_time_one_takes_effect(
    client: httpx.AsyncClient, owner: dict[str, str]
) -> None:
    headers = owner | key()
    answers = await asyncio.gather(
        *(client.post(NOTES, headers=headers, json={"text": "slow"}) for _ in range(5))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201, 409, 409, 409, 409]
    assert (await client.post(NOTES, headers=headers, json={"text": "slow"})).headers["Idempotency-Replayed"]


async def test_what_failed_can_be_tried_again_with_the_same_key(
    client: httpx.AsyncClient, owner: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = owner | key()
    for _ in range(2):
        answer = await client.post(NOTES, headers=headers, json={"text": "refused"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_keys_of_different_workspaces_do_not_meet(
    client: httpx.AsyncClient, owner: dict[str, str], trust: Trust
) -> None:
    shared_key = key()
    other = trust.user("dns", workspace_id=B, permissions=["notes.write"])
    first = await client.post(NOTES, headers=owner | shared_key, json={"text": "mine"})
    second = await client.post(
        f"/v1/workspaces/{B}/notes", headers=other | shared_key, json={"text": "theirs"}
    )
    assert second.status_code == 201
    assert first.json()["id"] != second.json()["id"]
