"""How webhooks are sent: so that others can verify them, again and again by a schedule, and to nobody else's harm."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from sandbox.tls import Authority
from services.auth.webhooks.delivery import LEASE, LONGEST_WISH, PAUSES, Deliveries, next_attempt
from shared.contracts import provisioner_events
from shared.contracts.auth_events import AuthAuditRecorded
from tests.auth.stage import Person, Stage, staged
from tests.auth.webhook_process import Names
from tests.auth.webhook_receiver import HOST, Receiver, deliveries, receiving
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust


@dataclass
class House:
    """A workspace, receivers, and a worker that sends to them."""

    auth: Stage
    owner: Person
    workspace_id: str
    receivers: list[Receiver]
    ca_file: Path
    worker: Deliveries
    names: Names = field(default_factory=Names)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {**self.auth.as_user(self.owner.id, self.workspace_id), "If-Match": "*"}
        path = f"/v1/workspaces/{self.workspace_id}/{path}"
        answer = await self.auth.client.request(method, path, json=body, headers=headers)
        return answer.status_code, answer.json() if answer.content else None

    async def webhook(self, receiver: Receiver, *events: str, host: str = HOST) -> dict[str, Any]:
        body = {"url": receiver.url(host), "events": list(events) or ["server.recovered"]}
        status, made = await self.ask("POST", "webhooks", body)
        assert status == 201, made
        return dict(made)

    async def happens(self, count: int = 1) -> list[str]:
        """Ids of the events."""
        return [(await self.auth.bus.deliver(recovered(self.workspace_id))).id for _ in range(count)]

    async def of(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        return list((await self.ask("GET", f"webhooks/{webhook['id']}/deliveries"))[1]["items"])

    async def now(self, webhook: dict[str, Any]) -> dict[str, Any]:
        return dict((await self.ask("GET", f"webhooks/{webhook['id']}"))[1])

    def pass_by(self, step: timedelta) -> None:
        self.auth.clock.advance(step)


def recovered(workspace_id: str) -> provisioner_events.ServerRecovered:
    return provisioner_events.ServerRecovered(
        workspace_id=workspace_id, server_id="srv_1", hostname="s1.test"
    )


@pytest.fixture
async def house(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[House]:
    """Two receivers with certificates for every host of customer.com."""
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("hooks", names=["*.customer.com"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with AsyncExitStack() as stack:
        receivers = [await stack.enter_async_context(receiving(context)) for _ in range(2)]
        ports = tuple(receiver.port for receiver in receivers)
        auth = await stack.enter_async_context(
            staged(service_database("auth"), trust, tmp_path, environment="test", webhook_ports=(443, *ports))
        )
        owner = await auth.person()
        names = Names()
        worker = deliveries(auth, authority.ca_file, ports, names)
        yield House(auth, owner, await auth.workspace(owner), receivers, authority.ca_file, worker, names)
        await worker.aclose(0)


# -- what is sent ------------------------------------------------------------------------------------------------


async def test_a_message_is_verified_by_the_standards_own_library(house: House) -> None:
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    [event_id] = await house.happens()
    await house.worker.drain()
    [message] = receiver.messages
    verified = Verifier(made["secret"]).verify(message.body, message.headers)
    assert verified == {
        "id": event_id,
        "type": "server.recovered",
        "version": 1,
        "timestamp": verified["timestamp"],
        "workspace_id": house.workspace_id,
        "data": {"server_id": "srv_1", "hostname": "s1.test"},
    }
    assert (message.id, message.headers["content-type"]) == (event_id, "application/json")
    assert message.headers["host"] == f"{HOST}:{receiver.port}"
    [item] = await house.of(made)
    assert (item["state"], item["attempts"], item["response_status"]) == ("delivered", 1, 204)
    assert (item["error"], item["next_attempt_at"]) == (None, None)
    assert (await house.now(made))["last_success_at"] is not None


async def test_a_changed_body_id_or_time_and_another_secret_are_refused_by_the_library(house: House) -> None:
    receiver = house.receivers[0]
    made, other = await house.webhook(receiver), await house.webhook(receiver)
    await house.happens()
    await house.worker.drain()
    message = next(one for one in receiver.messages if fits(made, one))
    assert not fits(other, message)
    forged: list[tuple[bytes, dict[str, str]]] = [(message.body + b" ", message.headers)]
    old = str(int(message.headers["webhook-timestamp"]) - 1)
    for changed in ({"webhook-id": "evt_x"}, {"webhook-timestamp": old}, {"webhook-signature": "v1,AAAA"}):
        forged.append((message.body, {**message.headers, **changed}))
    for body, headers in forged:
        with pytest.raises(WebhookVerificationError):
            Verifier(made["secret"]).verify(body, headers)


def fits(webhook: dict[str, Any], message: Any) -> bool:
    try:
        Verifier(webhook["secret"]).verify(message.body, message.headers)
    except WebhookVerificationError:
        return False
    return True


async def test_old_and_new_secret_verify_during_the_overlap_and_the_new_one_alone_after_it(
    house: House,
) -> None:
    receiver = house.receivers[0]
    old = await house.webhook(receiver)
    _, new = await house.ask("POST", f"webhooks/{old['id']}/rotate", {"overlap_hours": 1})
    await house.happens()
    await house.worker.drain()
    assert [fits(old, receiver.messages[0]), fits(new, receiver.messages[0])] == [True, True]
    house.pass_by(timedelta(minutes=61))
    await house.happens()
    await house.worker.drain()
    signatures = receiver.messages[1].headers["webhook-signature"].split(" ")
    assert len(signatures) == 1
    # The library looks at the real clock; the signature itself is what counts here.
    at = datetime.fromtimestamp(int(receiver.messages[1].headers["webhook-timestamp"]), UTC)
    assert (
        Verifier(new["secret"]).sign(receiver.messages[1].id, at, receiver.messages[1].body.decode())
        in signatures
    )


# -- the schedule ------------------------------------------------------------------------------------------------


async def test_ten_attempts_in_seventy_five_hours_then_the_webhook_is_disabled_and_the_owner_gets_a_mail(
    house: House,
) -> None:
    receiver = house.receivers[0]
    receiver.status = 500
    made = await house.webhook(receiver)
    began = house.auth.clock.now()
    [event_id] = await house.happens()
    for number, pause in enumerate(PAUSES, start=1):
        await house.worker.drain()
        assert len(receiver.messages) == number
        house.pass_by(pause - timedelta(seconds=1))
        await house.worker.drain()
        assert len(receiver.messages) == number, "not before its time"
        house.pass_by(timedelta(seconds=1))
    assert house.auth.clock.now() - began == timedelta(hours=75, minutes=35, seconds=5)
    await house.happens()
    await house.worker.drain()
    assert receiver.ids.count(event_id) == 10
    items = await house.of(made)
    assert [item["state"] for item in items] == ["failed", "failed"]
    assert items[1]["response_status"] == 500
    state = await house.now(made)
    assert (state["enabled"], state["disabled_reason"]) == (False, "exhausted")
    letter = await disabled_mail(house)
    assert HOST in letter
    assert "/in" not in letter.replace(house.auth.settings.public_url, "")


async def disabled_mail(house: House) -> str:
    for event in await house.auth.bus.emitted(AuthAuditRecorded):
        if event.action == "auth.webhook.disabled" and event.workspace_id == house.workspace_id:
            await house.auth.bus.deliver(event)
    await house.auth.send_mail()
    mail = house.auth.mail.last_to(house.owner.email)
    assert mail.kind == "webhook_disabled"
    return mail.text


async def test_a_receiver_that_takes_other_messages_stays_enabled(house: House) -> None:
    """One message that it cannot take fails alone."""
    receiver = house.receivers[0]
    receiver.status = 500
    made = await house.webhook(receiver)
    await house.happens()
    for pause in PAUSES:
        await house.worker.drain()
        house.pass_by(pause)
    receiver.status = 204
    house.pass_by(timedelta(seconds=-1))
    await house.happens()
    await house.worker.drain()
    receiver.status = 500
    house.pass_by(timedelta(seconds=1))
    await house.worker.drain()
    assert [item["state"] for item in await house.of(made)] == ["delivered", "failed"]
    assert (await house.now(made))["enabled"] is True


async def test_410_disables_at_once_and_what_waits_ends(house: House) -> None:
    receiver = house.receivers[0]
    receiver.status = 410
    made = await house.webhook(receiver)
    await house.happens(3)
    await house.worker.drain()
    assert len(receiver.messages) == 1
    assert {item["state"] for item in await house.of(made)} == {"failed"}
    assert (await house.now(made))["disabled_reason"] == "gone"
    assert "410" in await disabled_mail(house)
    house.pass_by(timedelta(days=1))
    await house.happens()
    await house.worker.drain()
    assert len(receiver.messages) == 1


async def test_a_disabled_webhook_that_is_enabled_again_gets_what_happens_from_then_on(house: House) -> None:
    receiver = house.receivers[0]
    receiver.status = 410
    made = await house.webhook(receiver)
    await house.happens()
    await house.worker.drain()
    receiver.status = 204
    assert (await house.ask("PATCH", f"webhooks/{made['id']}", {"enabled": True}))[0] == 200
    [event_id] = await house.happens()
    await house.worker.drain()
    assert receiver.ids[1:] == [event_id]


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


@given(st.integers(1, 12), st.floats(0, 1), st.none() | st.floats(0, 1e9))
def test_the_pause_never_shrinks_below_the_schedule_nor_grows_without_end(
    tries: int, jitter: float, wish: float | None
) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    again = next_attempt(tries, now, retry_after=wish, jitter=lambda: jitter)
    if tries > len(PAUSES):
        assert again is None
        return
    assert again is not None
    assert PAUSES[tries - 1] <= again - now <= max(PAUSES[tries - 1] * 1.1, LONGEST_WISH)


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


# -- one does not hold up another ----------------------------------------------------------------------------------


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


# -- races and crashes -------------------------------------------------------------------------------------------


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


async def test_a_replay_has_the_whole_schedule_before_it(house: House) -> None:
    receiver = house.receivers[0]
    receiver.status = 410
    made = await house.webhook(receiver)
    await house.happens()
    await house.worker.drain()
    [item] = await house.of(made)
    path = f"webhook-deliveries/{item['id']}/replay"
    assert (await house.ask("POST", path))[1]["code"] == "webhook_disabled"
    await house.ask("PATCH", f"webhooks/{made['id']}", {"enabled": True})
    receiver.status = 500
    assert (await house.ask("POST", path))[1]["state"] == "pending"
    await house.worker.drain()
    [item] = await house.of(made)
    due = datetime.fromisoformat(item["next_attempt_at"])
    assert (item["attempts"], due - house.auth.clock.now()) == (2, PAUSES[0])


async def test_a_worker_that_comes_back_after_its_lease_changes_nothing(house: House) -> None:
    """It was paused while it sent; another one sent again, was refused, and its schedule stands."""
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    await house.happens()
    receiver.open.clear()
    await house.worker.turn()
    await receiver.has(1)
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
        "tests.auth.webhook_process",
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
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    await house.happens()
    receiver.open.clear()
    await house.worker.turn()
    await receiver.has(1)
    assert (await house.ask("PATCH", f"webhooks/{made['id']}", {"enabled": False}))[0] == 200
    receiver.open.set()
    await house.worker.drain()
    [item] = await house.of(made)
    assert (item["state"], item["next_attempt_at"]) == ("failed", None)


async def test_a_webhook_that_is_deleted_while_it_is_sent_to_is_gone(house: House) -> None:
    receiver = house.receivers[0]
    made = await house.webhook(receiver)
    await house.happens()
    receiver.open.clear()
    await house.worker.turn()
    await receiver.has(1)
    assert (await house.ask("DELETE", f"webhooks/{made['id']}"))[0] == 204
    receiver.open.set()
    await house.worker.drain()
    assert (await house.ask("GET", f"webhooks/{made['id']}"))[0] == 404
