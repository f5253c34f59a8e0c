"""What receivers answer and how slow they are, and that a webhook leads to nobody's harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from services.auth.webhooks.delivery import PAUSES, Deliveries
from tests.auth.webhooks.house import House


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
@pytest.mark.asvs("15.3.2")
async def test_only_2xx_takes_a_message_and_a_redirect_is_not_followed(house: House, status: int) -> None:
    first, second = house.receivers
    first.status = status
    first.headers = f"Location: {second.url()}\r\n"
    made = await house.webhook(first)
    await house.happens()
    await house.worker.drain()
    [item] = await house.of(made)
    assert (item["state"], item["response_status"]) == ("pending", first.status)
    assert second.messages == []


async def test_a_receiver_can_ask_for_more_time(house: House) -> None:
    receiver = house.receivers[0]
    receiver.status, receiver.headers = 429, "Retry-After: 120\r\n"
    await house.webhook(receiver)
    await house.happens()
    await house.worker.drain()
    house.pass_by(timedelta(seconds=119))
    await house.worker.drain()
    assert len(receiver.messages) == 1
    house.pass_by(timedelta(seconds=1))
    await house.worker.drain()
    assert len(receiver.messages) == 2


@pytest.mark.asvs("1.3.6")
async def test_a_name_that_leads_inside_gets_nothing_and_its_owner_is_told_why(house: House) -> None:
    receiver = house.receivers[0]
    made = await house.webhook(receiver, host="rebound.customer.com")
    house.names.elsewhere["rebound.customer.com"] = "169.254.169.254"
    await house.happens()
    await house.worker.drain()
    [item] = await house.of(made)
    assert (item["state"], item["response_status"], receiver.messages) == ("pending", None, [])
    assert "not on the internet" in item["error"]
    assert "169.254" not in item["error"]
    house.names.elsewhere["rebound.customer.com"] = ""
    house.pass_by(PAUSES[0])
    await house.worker.drain()
    assert "does not exist" in (await house.of(made))[0]["error"]
    del house.names.elsewhere["rebound.customer.com"]
    house.pass_by(PAUSES[1])
    await house.worker.drain()
    assert (await house.of(made))[0]["state"] == "delivered"


async def test_a_slow_receiver_holds_up_nobody_else(house: House) -> None:
    slow, quick = house.receivers
    slow.open.clear()
    held = await house.webhook(slow)
    await house.webhook(quick)
    expected = await house.happens(3)
    await house.worker.turn()
    await slow.has(1)
    await until(house.worker.turn, lambda: len(quick.messages) == 3)
    assert quick.ids == expected
    assert len(slow.messages) == 1, "one message of a webhook is under way at a time"
    slow.open.set()
    await house.worker.drain()
    assert slow.ids == expected
    assert {item["state"] for item in await house.of(held)} == {"delivered"}


async def until(act: Callable[[], Awaitable[object]], true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await act()
            await asyncio.sleep(0.01)


async def test_no_more_than_so_many_are_under_way(house: House) -> None:
    slow = house.receivers[0]
    slow.open.clear()
    for _ in range(4):
        await house.webhook(slow)
    await house.happens()
    few = Deliveries(
        house.auth.worker.database, house.worker._webhooks, house.worker._client, jitter=lambda: 0, parallel=3
    )
    assert [await few.turn(), await few.turn()] == [3, 0]
    slow.open.set()
    await few.drain()
    assert len(slow.messages) == 4
