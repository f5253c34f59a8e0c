"""From `emit` to the handler over a real broker, and what becomes of messages that fail."""

import contextlib
import json
from typing import Any

import pytest

from shared.bus import outbox
from shared.bus.redrive import redrive
from shared.bus.testing import envelope_for
from tests.shared.bus.numbers import QUEUE, NumberSeen
from tests.shared.bus.station import Station, until


async def test_an_event_takes_effect_once_and_is_marked(station: Station) -> None:
    event = await station.emit(1)
    await until(lambda: station.effects(event))
    await until(lambda: station.published(event))
    assert await station.effects(event) == 1


async def test_an_event_of_a_rolled_back_transaction_is_never_sent(station: Station) -> None:
    with contextlib.suppress(RuntimeError):
        async with station.database.transaction() as session:
            lost = await outbox.emit(
                session, NumberSeen(number=2), subject="n", workspace_id=None, aggregate_version=1
            )
            raise RuntimeError
    later = await station.emit(3)
    await until(lambda: station.effects(later))
    assert await station.effects(lost) == 0


async def test_a_second_delivery_changes_nothing(station: Station) -> None:
    envelope = envelope_for(NumberSeen(number=4))
    body = envelope.model_dump_json().encode()
    for _ in range(3):
        await station.publish(body)
    marker = await station.emit(5)
    await until(lambda: station.effects(marker))
    await until(lambda: station.effects(envelope.id))
    assert await station.effects(envelope.id) == 1


async def test_a_transient_failure_is_tried_again_in_process(station: Station) -> None:
    station.faults.transient = 2
    event = await station.emit(6)
    await until(lambda: station.effects(event))
    assert station.faults.calls == 3


async def test_a_permanent_failure_is_parked_at_once(station: Station) -> None:
    station.faults.permanent = True
    event = await station.emit(7)
    assert await until(station.parked) == [event]
    assert station.faults.calls == 1


async def test_what_keeps_failing_is_parked_and_redrive_brings_it_back_to_that_queue(
    station: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.bus.consumer.LONGEST_REDELIVERY_PAUSE", 0.01)
    station.faults.broken = True
    event = await station.emit(8)
    assert await until(station.parked) == [event]
    assert station.faults.calls == 6  # the first delivery and five more
    station.faults.broken = False
    arguments: dict[str, Any] = {"queue": QUEUE, "maximum": 10}
    dry = await redrive(station.rabbit.operator_url, None, dry_run=True, **arguments)
    assert (dry.moved, dry.kept) == (1, 1)
    other = await redrive(station.rabbit.operator_url, None, kind="dns.other.v1", **arguments)
    assert (other.moved, other.kept) == (0, 1)
    real = await redrive(station.rabbit.operator_url, None, **arguments)
    assert (real.moved, real.kept) == (1, 0)
    await until(lambda: station.effects(event))
    assert await station.parked() == []


def wrong_messages() -> dict[str, bytes]:
    good = json.loads(envelope_for(NumberSeen(number=9)).model_dump_json())
    return {
        "not JSON": b"\xff\xfe",
        "not an envelope": b"{}",
        "another type inside": json.dumps(good | {"type": "provisioner.server.ready.v1"}).encode(),
        "another source": json.dumps(good | {"source": "/provisioner"}).encode(),
        "a payload that does not fit": json.dumps(good | {"data": {"number": "many"}}).encode(),
        "a megabyte": json.dumps(good | {"data": {"number": "9" * 1_000_000}}).encode(),
    }


@pytest.mark.parametrize("name", list(wrong_messages()))
async def test_a_message_that_is_not_what_it_says_is_parked_and_the_next_one_handled(
    station: Station, name: str
) -> None:
    await station.publish(wrong_messages()[name])
    event = await station.emit(10)
    await until(lambda: station.effects(event))
    assert len(await until(station.parked)) == 1


async def test_unknown_fields_of_a_newer_producer_are_ignored(station: Station) -> None:
    envelope = json.loads(envelope_for(NumberSeen(number=11)).model_dump_json())
    envelope["data"]["colour"] = "red"
    await station.publish(json.dumps(envelope | {"newattribute": "x"}).encode())
    await until(lambda: station.effects(envelope["id"]))
