"""The provider tells what became of a mail; an address that returns mail gets none, and everybody can see it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.auth.notifications import repository as notifications
from services.auth.providers.resend_webhook import ResendWebhook
from services.auth.standard_webhooks import sign
from shared.contracts.provisioner_events import SubscriptionActivated
from shared.ids import new_id
from tests.auth.stage import PASSWORD, WEBHOOK_SECRET, Stage, seconds

HOOK = "/v1/webhooks/resend"


def event(auth: Stage, kind: str, to: str, **data: Any) -> bytes:
    body = {
        "type": f"email.{kind}",
        "created_at": auth.clock.now().isoformat(),
        "data": {"email_id": "re_none", "to": [to], "subject": "S", **data},
    }
    return json.dumps(body).encode()


def bounce(auth: Stage, to: str, kind: str = "Permanent", **data: Any) -> bytes:
    return event(auth, "bounced", to, bounce={"type": kind, "message": "550 5.1.1 no such mailbox"}, **data)


async def tell(
    auth: Stage,
    body: bytes,
    *,
    event_id: str | None = None,
    secret: str = WEBHOOK_SECRET,
    age: float = 0,
    **change: str,
) -> httpx.Response:
    name = event_id or new_id("msg")
    stamp = str(int(auth.clock.now().timestamp() - age))
    headers = {
        "svix-id": name,
        "svix-timestamp": stamp,
        "svix-signature": sign(body, event_id=name, timestamp=stamp, secret=SecretStr(secret)),
        "content-type": "application/json",
        **{key.replace("_", "-"): value for key, value in change.items()},
    }
    return await auth.client.post(HOOK, content=body, headers=headers)


async def mail_state(auth: Stage, account_id: str) -> dict[str, Any]:
    answer = await auth.client.get("/v1/me/mail", headers=auth.as_user(account_id))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def notify(auth: Stage, workspace_id: str) -> None:
    """Something that owners get a mail about."""
    await auth.bus.deliver(
        SubscriptionActivated(
            workspace_id=workspace_id,
            subscription_id=new_id("sub"),
            server_id=new_id("srv"),
            plan="m",
            zone="fr-par-1",
        )
    )
    await auth.send_mail()


async def last_state(auth: Stage, account_id: str) -> Any:
    async with auth.worker.database.transaction() as session:
        statement = text(
            "select state, delivery, last_error from notification where account_id = :account order by id desc limit 1"
        )
        return tuple((await session.execute(statement, {"account": account_id})).one())


async def test_a_returned_mail_stops_all_further_ones_and_the_person_sees_why(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await notify(auth, workspace_id)
    sent = auth.mail.last_to(owner.email)
    answer = await tell(auth, bounce(auth, owner.email.upper(), tags={"notification": sent.reference}))
    assert (answer.status_code, answer.json()) == (200, {"received": True, "new": True})
    assert (await last_state(auth, owner.id))[:2] == ("sent", "bounced")
    auth.mail.mails.clear()
    await notify(auth, workspace_id)
    assert auth.mail.mails == []
    assert (await last_state(auth, owner.id)) == ("dropped", None, "the address is suppressed: bounced")
    shown = await mail_state(auth, owner.id)
    assert (shown["deliverable"], shown["reason"], shown["detail"]) == (
        False,
        "bounced",
        "550 5.1.1 no such mailbox",
    )


async def test_the_person_lifts_it_and_a_late_event_does_not_undo_that(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    late = bounce(auth, owner.email)
    await tell(auth, bounce(auth, owner.email))
    auth.clock.advance(seconds(60))
    answer = await auth.client.delete("/v1/me/mail/suppression", headers=auth.as_user(owner.id))
    assert answer.json()["deliverable"] is True
    assert (await tell(auth, late)).status_code == 200
    assert (await mail_state(auth, owner.id))["deliverable"] is True
    await notify(auth, workspace_id)
    assert auth.mail.last_to(owner.email).kind == "subscription_activated"
    auth.clock.advance(seconds(1))
    await tell(auth, bounce(auth, owner.email))
    assert (await mail_state(auth, owner.id))["deliverable"] is False


async def test_a_returned_mail_is_forgotten_after_a_month(auth: Stage) -> None:
    owner = await auth.person()
    await tell(auth, bounce(auth, owner.email))
    auth.clock.advance(timedelta(days=29))
    assert (await mail_state(auth, owner.id))["deliverable"] is False
    auth.clock.advance(timedelta(days=2))
    assert (await mail_state(auth, owner.id))["deliverable"] is True


async def test_a_full_mailbox_or_a_delay_stops_nothing(auth: Stage) -> None:
    owner = await auth.person()
    await tell(auth, bounce(auth, owner.email, "Transient"))
    await tell(auth, event(auth, "delivery_delayed", owner.email))
    await tell(auth, event(auth, "delivered", owner.email))
    await tell(auth, event(auth, "opened", owner.email))
    assert (await mail_state(auth, owner.id))["deliverable"] is True


async def test_after_a_complaint_only_what_the_account_depends_on_still_goes_out(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await tell(auth, event(auth, "complained", owner.email))
    await tell(auth, bounce(auth, "other@people.test"))
    auth.mail.mails.clear()
    await notify(auth, workspace_id)
    assert auth.mail.mails == []
    async with auth.worker.database.transaction() as session:
        notifications.enqueue(
            session, "already_registered", owner.id, now=auth.clock.now(), account_id=owner.id
        )
    await auth.send_mail()
    assert [mail.kind for mail in auth.mail.mails] == ["already_registered"]
    auth.clock.advance(timedelta(days=400))
    assert (await mail_state(auth, owner.id))["reason"] == "complained"


async def test_a_stranger_who_complained_gets_no_more_sign_up_mails(auth: Stage) -> None:
    await tell(auth, event(auth, "complained", "stranger@people.test"))
    body = {"email": "stranger@people.test", "password": PASSWORD, "name": "N"}
    assert (await auth.client.post("/v1/auth/signup", json=body)).status_code == 202
    await auth.send_mail()
    assert "stranger@people.test" not in {mail.to for mail in auth.mail.mails}


async def test_an_owner_sees_and_lifts_what_does_not_reach_his_people(auth: Stage) -> None:
    owner, guest, other = await auth.person(), await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    invited = f"{new_id('inv')[-8:]}@people.test"
    await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": invited},
        headers=auth.as_user(owner.id, workspace_id),
    )
    for address in (guest.email, invited, other.email):
        await tell(auth, bounce(auth, address))
    path = f"/v1/workspaces/{workspace_id}/undeliverable"
    headers = auth.as_user(owner.id, workspace_id)
    shown = (await auth.client.get(path, headers=headers)).json()["items"]
    assert {item["email"]: item["of"][:3] for item in shown} == {guest.email: "mem", invited: "inv"}
    guests = next(item["id"] for item in shown if item["email"] == guest.email)
    assert (await auth.client.delete(f"{path}/{guests}", headers=headers)).status_code == 204
    assert (await auth.client.delete(f"{path}/{guests}", headers=headers)).status_code == 404
    assert (await mail_state(auth, guest.id))["deliverable"] is True


async def test_a_complaint_only_the_person_himself_lifts(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    await tell(auth, event(auth, "complained", guest.email))
    await tell(auth, bounce(auth, guest.email))
    path = f"/v1/workspaces/{workspace_id}/undeliverable"
    headers = auth.as_user(owner.id, workspace_id)
    (item,) = (await auth.client.get(path, headers=headers)).json()["items"]
    answer = await auth.client.delete(f"{path}/{item['id']}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "complaint_stands")
    await auth.client.delete("/v1/me/mail/suppression", headers=auth.as_user(guest.id))
    assert (await auth.client.get(path, headers=headers)).json()["items"] == []


async def test_an_event_told_twice_at_once_counts_once(auth: Stage) -> None:
    owner = await auth.person()
    body, name = bounce(auth, owner.email), new_id("msg")
    answers = await asyncio.gather(*(tell(auth, body, event_id=name) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10
    assert sum(answer.json()["new"] for answer in answers) == 1


async def test_a_replayed_event_does_not_undo_what_was_lifted(auth: Stage) -> None:
    owner = await auth.person()
    body, name = bounce(auth, owner.email), new_id("msg")
    await tell(auth, body, event_id=name)
    await auth.client.delete("/v1/me/mail/suppression", headers=auth.as_user(owner.id))
    assert (await tell(auth, body, event_id=name)).json()["new"] is False
    assert (await mail_state(auth, owner.id))["deliverable"] is True


def test_the_example_of_the_documentation_verifies() -> None:
    """https://docs.svix.com/receiving/verifying-payloads/how"""
    webhook = ResendWebhook(SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    webhook.verify(
        b'{"test": 2432232314}',
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp="1614265330",
        signatures="v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        now=datetime.fromtimestamp(1614265330, UTC),
    )


@pytest.mark.parametrize("age", [-299, 0, 299])
async def test_within_five_minutes_a_signature_holds(auth: Stage, age: float) -> None:
    assert (await tell(auth, event(auth, "delivered", "a@people.test"), age=age)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"age": 302},
        {"age": -302},
        {"secret": "whsec_b3RoZXIgc2VjcmV0"},
        {"svix_id": "msg_other"},
        {"svix_id": ""},
        {"svix_id": "a b"},
        {"svix_timestamp": "soon"},
        {"svix_timestamp": "9" * 13},
        {"svix_timestamp": "-1"},
        {"svix_signature": ""},
        {"svix_signature": "v1,"},
        {"svix_signature": "v1,AAAA v2,AAAA"},
        {"svix_signature": "v1," + "ÿ"},
    ],
    ids=lambda change: f"{next(iter(change))}={str(next(iter(change.values())))[:12]}",
)
async def test_what_was_not_signed_by_our_account_changes_nothing(
    auth: Stage, change: dict[str, Any]
) -> None:
    owner = await auth.person()
    if "svix_signature" in change:
        change = {"svix_signature": change["svix_signature"].encode("latin-1")}
    answer = await tell(auth, bounce(auth, owner.email), **change)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")
    assert (await mail_state(auth, owner.id))["deliverable"] is True


async def test_one_fitting_signature_among_several_is_enough(auth: Stage) -> None:
    """While a secret is changed, the provider signs with both."""
    body, name = event(auth, "delivered", "a@people.test"), new_id("msg")
    stamp = str(int(auth.clock.now().timestamp()))
    good = sign(body, event_id=name, timestamp=stamp, secret=SecretStr(WEBHOOK_SECRET))
    answer = await tell(auth, body, event_id=name, svix_signature=f"v1,AAAA {good}")
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type": "email.bounced"}', b"\xff", b"{" * 10_000])
async def test_a_signed_body_that_is_no_event_is_refused(auth: Stage, body: bytes) -> None:
    answer = await tell(auth, body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")


async def test_a_body_that_is_too_large_is_not_read_to_its_end(auth: Stage) -> None:
    assert (await tell(auth, b" " * (1024 * 1024 + 1))).status_code == 413
