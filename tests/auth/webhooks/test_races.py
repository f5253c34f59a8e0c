"""Workers, replays, changes and deaths in the middle of sending."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from typing import Any

import pytest

from services.auth.webhooks.delivery import LEASE
from tests.auth.webhooks.house import House
from tests.auth.webhooks.receiver import Receiver, deliveries


async def under_way(house: House) -> tuple[Receiver, dict[str, Any]]:
    """A message that has come to its receiver, who does not answer until he is opened; and the webhook it is for."""
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    await house.happens()
    receiver.open.clear()
    await house.worker.turn()
    await receiver.has(1)
    return receiver, made


async def test_many_workers_at_once_send_each_message_once(house: House) -> None:
    receiver = house.receivers[0]
    for _ in range(3):
        await house.webhook(receiver)
    expected = sorted((await house.happens(4)) * 3)
    workers = [deliveries(house.auth, house.ca_file, [one.port for one in house.receivers]) for _ in range(8)]
    await asyncio.gather(*(worker.drain() for worker in workers))
    await house.worker.drain()
    assert sorted(receiver.ids) == expected


async def test_many_replays_at_once_are_one(house: House) -> None:
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    [event_id] = await house.happens()
    await house.worker.drain()
    [item] = await house.of(made)
    path = f"webhook-deliveries/{item['id']}/replay"
    answers = await asyncio.gather(*(house.ask("POST", path) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [202] + [409] * 9
    assert {body["code"] for status, body in answers if status == 409} == {"delivery_pending"}
    await asyncio.gather(*(house.worker.turn() for _ in range(5)))
    await house.worker.drain()
    assert receiver.ids == [event_id, event_id]
    [item] = await house.of(made)
    assert (item["state"], item["attempts"]) == ("delivered", 2)


async def test_a_worker_that_comes_back_after_its_lease_changes_nothing(house: House) -> None:
    """It was paused while it sent; another one sent again, was refused, and its schedule stands."""
    receiver, made = await under_way(house)
    house.pass_by(LEASE)
    receiver.status = 500
    other = deliveries(house.auth, house.ca_file, [one.port for one in house.receivers])
    await other.turn()
    await receiver.has(2)
    receiver.open.set()
    await other.drain()
    await house.worker.drain()
    [item] = await house.of(made)
    assert (item["state"], item["attempts"]) == ("pending", 2)
    assert receiver.ids[0] == receiver.ids[1]


async def crash(house: House, now: datetime, place: str | None = None) -> int:
    told = {
        "database_url": house.auth.worker.database.engine.url.render_as_string(hide_password=False),
        "webhook_key": house.auth.settings.webhook_key.get_secret_value(),
        "ca_file": str(house.ca_file),
        "port": house.receivers[0].port,
        "now": now.isoformat(),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.auth.webhooks.process",
        stdin=asyncio.subprocess.PIPE,
        env={**os.environ, **({"SC_CRASHPOINT": place} if place else {})},
    )
    await process.communicate(json.dumps(told).encode())
    assert process.returncode is not None
    return process.returncode


@pytest.mark.parametrize(("place", "before"), [("webhook.claimed", 0), ("webhook.sent", 1)])
async def test_a_killed_workers_message_is_sent_again_under_the_same_id(
    house: House, place: str, before: int
) -> None:
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    [event_id] = await house.happens()
    now = house.auth.clock.now()
    assert await crash(house, now, place) == -signal.SIGKILL
    assert receiver.ids == [event_id] * before
    await house.worker.drain()
    assert receiver.ids == [event_id] * before, "it is still leased"
    assert await crash(house, now + LEASE) == 0
    assert receiver.ids == [event_id] * (before + 1)
    [item] = await house.of(made)
    assert (item["state"], item["attempts"]) == ("delivered", 2)


async def test_a_message_that_ends_while_it_is_sent_stays_ended(house: House) -> None:
    receiver, made = await under_way(house)
    assert (await house.ask("PATCH", f"webhooks/{made['id']}", {"enabled": False}))[0] == 200
    receiver.open.set()
    await house.worker.drain()
    [item] = await house.of(made)
    assert (item["state"], item["next_attempt_at"]) == ("failed", None)


async def test_a_webhook_that_is_deleted_while_it_is_sent_to_is_gone(house: House) -> None:
    receiver, made = await under_way(house)
    assert (await house.ask("DELETE", f"webhooks/{made['id']}"))[0] == 204
    receiver.open.set()
    await house.worker.drain()
    assert (await house.ask("GET", f"webhooks/{made['id']}"))[0] == 404
