"""Sent again and again by a schedule, until the webhook is disabled; and replays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.auth.webhooks.delivery import LONGEST_WISH, PAUSES, next_attempt
from shared.contracts.auth_events import AuthAuditRecorded
from tests.auth.webhooks.house import House
from tests.auth.webhooks.receiver import HOST


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
