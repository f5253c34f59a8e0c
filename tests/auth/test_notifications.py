"""Mails: sent once, tried again, dropped when they have nothing to say any more."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import NoResultFound

from services.auth.notifications.service import forget_settled
from services.auth.ports import Mail, MailDelayed, MailRefused
from services.auth.providers.resend import ResendMailer
from shared.contracts.provisioner_events import ServerReady, SubscriptionActivated
from shared.contracts.reputation_events import AddressListed, Listing
from shared.ids import new_id
from tests.auth.stage import PASSWORD, Stage, seconds

MAIL = Mail(
    key="confirm/ntf_1", to="a@people.test", subject="S", text="T", html="<p>T</p>", kind="confirm_address"
)


async def sign_up(auth: Stage, email: str) -> None:
    body = {"email": email, "password": PASSWORD, "name": "N"}
    assert (await auth.client.post("/v1/auth/signup", json=body)).status_code == 202


async def state_of(auth: Stage, email: str) -> Any:
    async with auth.worker.database.transaction() as session:
        return (
            await session.execute(
                text(
                    "select n.state, n.attempts, n.last_error from notification n "
                    "join signup s on s.id = n.reference where s.email = :email"
                ),
                {"email": email},
            )
        ).one()


async def test_a_delayed_mail_is_tried_again_later_under_the_same_key(auth: Stage) -> None:
    await auth.send_mail()
    auth.mail.failures = [MailDelayed("no answer"), MailDelayed("rate limited", 30)]
    await sign_up(auth, "again@people.test")
    await auth.send_mail()
    assert not auth.mail.mails
    auth.clock.advance(seconds(1))
    await auth.send_mail()
    auth.clock.advance(seconds(29))
    await auth.send_mail()
    assert not auth.mail.mails
    auth.clock.advance(seconds(1))
    await auth.send_mail()
    assert [mail.to for mail in auth.mail.mails] == ["again@people.test"]
    assert tuple(await state_of(auth, "again@people.test"))[:2] == ("sent", 3)


async def test_a_refused_mail_is_not_tried_again(auth: Stage) -> None:
    auth.mail.failures = [MailRefused("422 validation_error")]
    await sign_up(auth, "refused@people.test")
    await auth.send_mail()
    auth.clock.advance(seconds(3600))
    await auth.send_mail()
    assert tuple(await state_of(auth, "refused@people.test")) == ("failed", 1, "422 validation_error")


async def test_a_dead_workers_mail_is_sent_by_another_after_the_lease(auth: Stage) -> None:
    await sign_up(auth, "lease@people.test")
    auth.mail.failures = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        await auth.send_mail()
    await auth.send_mail()
    assert not auth.mail.mails
    auth.clock.advance(seconds(61))
    await auth.send_mail()
    assert auth.mail.last_to("lease@people.test")


async def test_mails_leave_in_the_order_in_which_they_were_queued(auth: Stage) -> None:
    people = [f"turn{number}@people.test" for number in range(5)]
    for person in people:
        await sign_up(auth, person)
    async with auth.worker.database.transaction() as session:
        # A row that was written again lies behind the others.
        await session.execute(
            text("update notification set last_error = 'x' where id = (select min(id) from notification)")
        )
    await auth.send_mail()
    assert [mail.to for mail in auth.mail.mails if mail.to in people] == people


async def test_a_confirmation_that_was_replaced_is_dropped(auth: Stage) -> None:
    await sign_up(auth, "replaced@people.test")
    await sign_up(auth, "replaced@people.test")
    await auth.send_mail()
    assert sum(mail.to == "replaced@people.test" for mail in auth.mail.mails) == 1


async def test_a_token_is_in_the_mail_and_in_no_table(auth: Stage) -> None:
    """Rows hold ids; what opens something is made when the mail is sent."""
    await sign_up(auth, "rest@people.test")
    await auth.send_mail()
    token = auth.link_token("rest@people.test")
    kept: list[str] = []
    async with auth.worker.database.transaction() as session:
        for table, shown in (
            ("notification", "t::text"),
            ("outbox", "convert_from(body, 'UTF8')"),
            ("signup", "t::text"),
        ):
            rows = await session.execute(text(f"select {shown} from {table} t"))  # noqa: S608 (constants above)
            kept += rows.scalars()
    assert any("rest@people.test" in row for row in kept)
    parts = token.split(".")
    assert not any(part in row for row in kept for part in (token, parts[1], parts[2]))


async def test_settled_mails_are_forgotten_after_three_months_and_waiting_ones_are_not(auth: Stage) -> None:
    await sign_up(auth, "old@people.test")
    await auth.send_mail()
    auth.clock.advance(seconds(89 * 86_400))
    await sign_up(auth, "waiting@people.test")
    await forget_settled(auth.worker.database, auth.clock)
    assert (await state_of(auth, "old@people.test"))[0] == "sent"
    auth.clock.advance(seconds(2 * 86_400))
    assert await forget_settled(auth.worker.database, auth.clock) > 0
    assert (await state_of(auth, "waiting@people.test"))[0] == "pending"
    with pytest.raises(NoResultFound):
        await state_of(auth, "old@people.test")


async def test_people_in_charge_hear_of_their_servers_once(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    auth.mail.mails.clear()
    ready = ServerReady(
        workspace_id=workspace_id,
        server_id=new_id("srv"),
        hostname="s1.mx.sendchief.test",
        ipv4="198.51.100.16",
        ipv6="2001:db8:5c::1",
        zone="fr-par-1",
    )
    envelope = await auth.bus.deliver(ready)
    await auth.bus.deliver(ready, envelope=envelope)
    await auth.bus.deliver(
        SubscriptionActivated(
            workspace_id=workspace_id,
            subscription_id=new_id("sub"),
            server_id=ready.server_id,
            plan="m",
            zone="fr-par-1",
        )
    )
    await auth.bus.deliver(
        AddressListed(
            workspace_id=workspace_id,
            server_id=ready.server_id,
            address_id=new_id("adr"),
            address="198.51.100.16",
            listings=(Listing(blacklist="bl.test", tier=1, codes=("127.0.0.2",), meaning="spam"),),
        )
    )
    await auth.send_mail()
    assert {mail.to for mail in auth.mail.mails} == {owner.email}
    assert sorted(mail.kind for mail in auth.mail.mails) == [
        "address_listed",
        "server_ready",
        "subscription_activated",
    ]


@pytest.mark.asvs("1.3.3")
async def test_names_in_mails_are_text_not_markup(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner, 'Tom & Jerry\'s "mill"')
    await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": "markup@people.test"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    await auth.send_mail()
    mail = auth.mail.last_to("markup@people.test")
    assert "Tom &amp; Jerry&#x27;s &quot;mill&quot;" in mail.html
    assert "Tom & Jerry's" in mail.text


def resend(status: int, body: Any, seen: list[httpx.Request] | None = None) -> ResendMailer:
    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(request)
        return httpx.Response(status, json=body, headers={"Retry-After": "7"})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="https://api.resend.com")
    return ResendMailer(client, SecretStr("re_secret"), "SendChief <hello@sendchief.test>")


async def test_resend_gets_the_key_and_the_parts_of_the_mail() -> None:
    seen: list[httpx.Request] = []
    assert await resend(200, {"id": "msg-1"}, seen).send(MAIL) == "msg-1"
    assert seen[0].headers["authorization"] == "Bearer re_secret"
    assert seen[0].headers["idempotency-key"] == MAIL.key
    assert b'"to":["a@people.test"]' in seen[0].content


async def test_a_mail_that_an_earlier_try_got_through_counts_as_sent() -> None:
    body = {"statusCode": 409, "name": "invalid_idempotent_request", "message": "different payload"}
    assert await resend(409, body).send(MAIL) == "sent by an earlier try"


@pytest.mark.parametrize(
    ("status", "name", "expected"),
    [
        (429, "rate_limit_exceeded", MailDelayed),
        (500, "application_error", MailDelayed),
        (401, "missing_api_key", MailDelayed),
        (403, "invalid_api_key", MailDelayed),
        (409, "concurrent_idempotent_requests", MailDelayed),
        (422, "validation_error", MailRefused),
    ],
)
async def test_what_resend_refuses_is_told_apart(status: int, name: str, expected: type[Exception]) -> None:
    with pytest.raises(expected) as failure:
        await resend(status, {"name": name}).send(MAIL)
    if status == 429:
        assert isinstance(failure.value, MailDelayed)
        assert failure.value.retry_after == 7
