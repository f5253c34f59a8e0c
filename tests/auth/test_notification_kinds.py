"""What people of a workspace hear of, who hears it, and that much news at once is one mail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete

from services.auth.models import Account, Member, Workspace
from services.auth.notifications.consumers import AUDITS
from services.auth.notifications.kinds import BY_NAME, KINDS
from services.auth.ports import MailDelayed
from shared.contracts import dns_events as dns
from shared.contracts import provisioner_events as provisioner
from shared.contracts import reputation_events as reputation
from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData
from shared.contracts.vault_events import WorkspaceShredded
from shared.ids import new_id
from tests.auth.stage import Person, Stage, seconds

SERVER, SUBSCRIPTION, ADDRESS, DOMAIN = (new_id(prefix) for prefix in ("srv", "sub", "adr", "dom"))
_HOST = {"server_id": SERVER, "hostname": "s1.mx.sendchief.test"}
_BILL = {"subscription_id": SUBSCRIPTION, "plan": "m"}
_ADDRESS = {"server_id": SERVER, "address_id": ADDRESS, "address": "198.51.100.16"}
_DOMAIN = {"server_id": SERVER, "domain_id": DOMAIN, "name": "example.test"}
_LISTED = reputation.Listing(blacklist="zen", tier=1, codes=("127.0.0.2",), meaning="spam")

FACTS: list[tuple[type[EventData], dict[str, Any], str | None]] = [
    (
        provisioner.ServerReady,
        {**_HOST, "ipv4": "198.51.100.16", "ipv6": "2001:db8:5c::1", "zone": "fr-par-1"},
        "server_ready",
    ),
    (provisioner.ServerStalled, {**_HOST, "step": "install", "title": "Install"}, "server_stalled"),
    (
        provisioner.ServerStalled,
        {**_HOST, "step": "domain_certificates", "title": "C"},
        "certificate_trouble",
    ),
    (provisioner.ServerDegraded, {**_HOST, "step": "self_test", "title": "Test"}, "server_degraded"),
    (provisioner.ServerDegraded, {**_HOST, "step": "certificates", "title": "C"}, "certificate_trouble"),
    (provisioner.ServerRecovered, _HOST, "server_recovered"),
    (provisioner.ServerDeleted, _HOST, "server_deleted"),
    (provisioner.AddressReserved, {**_ADDRESS, "family": 4, "attempt": 2}, "address_rotated"),
    (provisioner.AddressReserved, {**_ADDRESS, "family": 4, "attempt": 1}, None),
    (
        provisioner.SubscriptionActivated,
        {**_BILL, "server_id": SERVER, "zone": "fr-par-1"},
        "subscription_activated",
    ),
    (provisioner.PaymentFailed, _BILL, "payment_failed"),
    (provisioner.SubscriptionEnded, _BILL, "subscription_ended"),
    *(
        (
            provisioner.ServerStalled,
            {**_HOST, "step": "create_instance", "title": "Create", "stop": stop},
            "server_stopped",
        )
        for stop in ("AddressesRefused", "OutOfStock", "QuotaExceeded")
    ),
    (provisioner.SubscriptionRefunded, {**_BILL, "amount": 2900, "currency": "eur"}, "subscription_refunded"),
    (
        provisioner.DunningAnnounced,
        {**_BILL, "hostname": "s1.mx.sendchief.test", "step": "read_only", "at": datetime.now(UTC)},
        "limits_announced",
    ),
    (
        provisioner.DunningAdvanced,
        {
            **_BILL,
            "hostname": "s1.mx.sendchief.test",
            "step": "outbound_paused",
            "next_step": "read_only",
            "next_at": datetime.now(UTC),
        },
        "limits_begun",
    ),
    (
        provisioner.DunningAdvanced,
        {**_BILL, "hostname": "s1.mx.sendchief.test", "step": "destroyed"},
        "limits_begun",
    ),
    (provisioner.SubscriptionRestored, {**_BILL, "hostname": "s1.mx.sendchief.test"}, "limits_over"),
    (reputation.AddressListed, {**_ADDRESS, "listings": (_LISTED,)}, "address_listed"),
    (
        reputation.AddressCleared,
        {**_ADDRESS, "cleared": ("zen",), "remaining": ("cop",)},
        "address_cleared",
    ),
    (dns.DomainVerified, _DOMAIN, "domain_verified"),
    (dns.DomainBroken, {**_DOMAIN, "records": ("example.test MX",)}, "domain_broken"),
]


async def people(auth: Stage) -> tuple[Person, Person, Person, str]:
    """Owner, admin, member, and their workspace: rows only, nobody here signs in."""
    now, workspace_id = auth.clock.now(), new_id("ws")
    made = [Person(new_id("usr"), f"{new_id('usr')}@people.test", "", "") for _ in range(3)]
    async with auth.worker.database.transaction() as session:
        session.add(Workspace(id=workspace_id, name="Mill", created_by=made[0].id, created_at=now))
        for person in made:
            session.add(
                Account(id=person.id, email=person.email, name="N", password_hash="!", created_at=now)
            )
        await session.flush()
        for person, role in zip(made, ("owner", "admin", "member"), strict=True):
            session.add(
                Member(
                    id=new_id("mem"),
                    workspace_id=workspace_id,
                    account_id=person.id,
                    role=role,
                    joined_at=now,
                )
            )
    return made[0], made[1], made[2], workspace_id


async def alone(auth: Stage) -> str:
    """A workspace of one person."""
    _, admin, member, workspace_id = await people(auth)
    async with auth.worker.database.transaction() as session:
        await session.execute(delete(Member).where(Member.account_id.in_((admin.id, member.id))))
    return workspace_id


def audited(workspace_id: str, action: str, actor: str, data: dict[str, Any], **change: Any) -> AuditRecorded:
    service = action.split(".", 1)[0]
    kind = next(one for one in AUDITS if one.producer() == service)
    fields = {
        "audit_id": new_id("aud"),
        "workspace_id": workspace_id,
        "sequence": 1,
        "at": datetime.now(UTC),
        "actor_kind": "user",
        "actor_id": actor,
        "action": action,
        "target": new_id("exp"),
        "outcome": "ok",
        "reason": "moving house",
        "data": data,
        "row_hash": "00",
        **change,
    }
    return kind.model_validate(fields)


@pytest.mark.parametrize(
    ("event", "fields", "kind"), FACTS, ids=[f"{event.type}-{kind}" for event, _, kind in FACTS]
)
async def test_those_whom_it_concerns_hear_of_it(
    auth: Stage, event: type[EventData], fields: dict[str, Any], kind: str | None
) -> None:
    owner, admin, _, workspace_id = await people(auth)
    await auth.bus.deliver(event.model_validate({"workspace_id": workspace_id, **fields}))
    await auth.send_mail()
    wanted = [] if kind is None else sorted([owner.email, admin.email][: len(BY_NAME[kind].to)])
    assert sorted(mail.to for mail in auth.mail.mails) == wanted
    assert {mail.kind for mail in auth.mail.mails} == ({kind} if kind else set())
    assert all(mail.subject and "{" not in mail.text + mail.html for mail in auth.mail.mails)


def test_every_fact_in_the_table_is_tried_here() -> None:
    tried = {kind for _, _, kind in FACTS}
    assert {kind.name for kind in KINDS if kind.on} == tried - {None}


async def test_an_export_is_told_to_those_in_charge_and_to_who_did_it(auth: Stage) -> None:
    owner, admin, member, workspace_id = await people(auth)
    data = {"format": "csv", "mailboxes": 3}
    await auth.bus.deliver(audited(workspace_id, "vault.export.redeemed", member.id, data))
    await auth.bus.deliver(audited(workspace_id, "vault.export.redeemed", member.id, data, outcome="denied"))
    await auth.send_mail()
    assert sorted(mail.to for mail in auth.mail.mails) == sorted([owner.email, admin.email, member.email])
    assert "3 mailboxes" in auth.mail.mails[0].text
    assert "moving house" in auth.mail.mails[0].text


async def test_a_revealed_password_is_told_to_owners_who_may_switch_that_off(auth: Stage) -> None:
    owner, _, member, workspace_id = await people(auth)
    await auth.bus.deliver(audited(workspace_id, "vault.credential.revealed", member.id, {}))
    await auth.send_mail()
    assert [(mail.to, mail.kind) for mail in auth.mail.mails] == [(owner.email, "credentials_revealed")]
    assert "List-Unsubscribe" in auth.mail.mails[0].headers


@pytest.mark.parametrize("reason", ["gone", "exhausted"])
async def test_a_webhook_that_was_disabled_is_told_to_those_in_charge(auth: Stage, reason: str) -> None:
    owner, admin, _, workspace_id = await people(auth)
    told = {"host": "hooks.customer.com"}
    await auth.bus.deliver(
        audited(workspace_id, "auth.webhook.disabled", "auth", told, actor_kind="system", reason=reason)
    )
    await auth.send_mail()
    assert sorted(mail.to for mail in auth.mail.mails) == sorted([owner.email, admin.email])
    assert ("410" in auth.mail.mails[0].text) == (reason == "gone")


def ready(workspace_id: str, hostname: str = "s1.mx.sendchief.test") -> EventData:
    return provisioner.ServerDegraded(
        workspace_id=workspace_id, server_id=SERVER, hostname=hostname, step="self_test", title="Test"
    )


async def test_what_repeats_itself_is_one_mail_now_and_one_after_the_quiet_time(auth: Stage) -> None:
    workspace_id = await alone(auth)
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    for number in range(5):
        auth.clock.advance(seconds(60))
        await auth.bus.deliver(ready(workspace_id, f"s{number}.mx.sendchief.test"))
        await auth.send_mail()
    assert len(auth.mail.mails) == 1
    auth.clock.advance(seconds(301))
    await auth.send_mail()
    assert len(auth.mail.mails) == 2
    assert "happened 5 times" in auth.mail.mails[1].text
    assert "s4.mx.sendchief.test" in auth.mail.mails[1].subject
    auth.clock.advance(seconds(601))
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    assert len(auth.mail.mails) == 3
    assert "times" not in auth.mail.mails[2].text


async def test_another_subject_does_not_wait(auth: Stage) -> None:
    workspace_id = await alone(auth)
    for server_id in (new_id("srv"), new_id("srv")):
        await auth.bus.deliver(
            provisioner.ServerRecovered(workspace_id=workspace_id, server_id=server_id, hostname="s.test")
        )
    await auth.send_mail()
    assert len(auth.mail.mails) == 2


async def test_news_at_once_from_many_consumers_are_one_mail(auth: Stage) -> None:
    workspace_id = await alone(auth)
    await asyncio.gather(*(auth.bus.deliver(ready(workspace_id)) for _ in range(10)))
    await auth.send_mail()
    assert len(auth.mail.mails) == 1
    assert "happened 10 times" in auth.mail.mails[0].text


async def test_news_that_come_while_a_mail_is_being_tried_are_not_lost_in_it(auth: Stage) -> None:
    """The provider may have taken the first text already: what comes then is a mail of its own."""
    workspace_id = await alone(auth)
    auth.mail.failures = [MailDelayed("no answer", 30)]
    await auth.bus.deliver(ready(workspace_id, "first.test"))
    await auth.send_mail()
    await auth.bus.deliver(ready(workspace_id, "second.test"))
    auth.clock.advance(seconds(31))
    await auth.send_mail()
    auth.clock.advance(seconds(700))
    await auth.send_mail()
    assert [mail.subject.split()[0] for mail in auth.mail.mails] == ["first.test", "second.test"]
    assert len({mail.key for mail in auth.mail.mails}) == 2


async def test_the_end_of_a_workspace_is_told_to_its_people_and_at_last_to_who_asked(auth: Stage) -> None:
    owner, admin, member, workspace_id = await people(auth)
    answer = await auth.client.request(
        "DELETE",
        f"/v1/workspaces/{workspace_id}",
        json={"confirm_name": "Mill"},
        headers=auth.as_user(owner.id, workspace_id, role="owner"),
    )
    assert answer.status_code == 202, answer.text
    await auth.send_mail()
    assert sorted((mail.to, mail.kind) for mail in auth.mail.mails) == sorted(
        (person.email, "workspace_ending") for person in (admin, member)
    )
    auth.mail.mails.clear()
    await auth.bus.deliver(provisioner.WorkspaceEmptied(workspace_id=workspace_id))
    await auth.bus.deliver(dns.WorkspaceEmptied(workspace_id=workspace_id))
    await auth.send_mail()
    assert auth.mail.mails == []
    for _ in range(2):
        await auth.bus.deliver(WorkspaceShredded(workspace_id=workspace_id, data_keys=1, secrets=0))
    await auth.send_mail()
    assert [(mail.to, mail.kind) for mail in auth.mail.mails] == [(owner.email, "workspace_deleted")]
