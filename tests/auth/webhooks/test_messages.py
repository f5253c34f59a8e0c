"""What is sent, so that others can verify it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from tests.auth.webhooks.house import House
from tests.auth.webhooks.receiver import HOST


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
