"""What auth holds of a customer."""

from __future__ import annotations

import importlib
import secrets
from datetime import timedelta

from pydantic import SecretStr

from shared.ids import new_id
from tests.isolation.factories.customers import LATER, NOW, PASSWORD_HASH, models_of
from tests.isolation.world import Customer, Made, World


async def member(world: World, one: Customer, role: str = "member") -> Made:
    models = models_of("auth")
    account_id, member_id = new_id("usr"), new_id("mem")
    await world.add(
        "auth",
        models.Account(
            id=account_id,
            email=f"{account_id}@people.test",
            name="Guest",
            password_hash=PASSWORD_HASH,
            created_at=NOW,
        ),
        models.Member(
            id=member_id,
            workspace_id=one.workspace_id,
            account_id=account_id,
            role=role,
            joined_at=NOW,
        ),
    )
    return Made(member_id)


async def invitation(world: World, one: Customer) -> Made:
    identifier = new_id("inv")
    row = models_of("auth").Invitation(
        id=identifier,
        workspace_id=one.workspace_id,
        email=f"{identifier}@people.test",
        role="member",
        invited_by=one.account_id,
        created_at=NOW - timedelta(hours=1),
        expires_at=LATER,
    )
    await world.add("auth", row)
    return Made(identifier)


async def api_key(world: World, one: Customer) -> Made:
    identifier = new_id("key")
    row = models_of("auth").ApiKey(
        id=identifier,
        workspace_id=one.workspace_id,
        name="partner",
        public_id=secrets.token_hex(4),
        key_hash=b"x" * 32,
        scopes=["servers:read"],
        created_by=one.account_id,
        created_at=NOW,
        expires_at=LATER,
    )
    await world.add("auth", row)
    return Made(identifier)


async def session(world: World, one: Customer) -> Made:
    row = models_of("auth").Session(
        id=new_id("ses"),
        account_id=one.account_id,
        created_at=NOW,
        authenticated_at=NOW,
        idle_expires_at=LATER,
        expires_at=LATER,
    )
    await world.add("auth", row)
    return Made(row.id)


async def ended_workspace(world: World, one: Customer) -> Made:
    row = models_of("auth").Deletion(
        workspace_id=new_id("ws"), workspace_name="ended", requested_by=one.account_id, requested_at=NOW
    )
    await world.add("auth", row)
    return Made(row.workspace_id)


async def webhook(world: World, one: Customer) -> Made:
    """With a secret under the key that the stage's API has, and a delivery that has failed."""
    sealing = importlib.import_module("services.auth.sealing").Sealing
    models = models_of("auth")
    row = models.Webhook(
        id=new_id("whk"),
        workspace_id=one.workspace_id,
        url=f"https://{secrets.token_hex(6)}.customer.com/in",
        events=["server.ready"],
        enabled=True,
        secret_sealed=b"",
        created_by=one.account_id,
        created_at=NOW,
    )
    row.secret_sealed = sealing("webhook", SecretStr("webhook" * 8)).seal(b"k" * 32, row.id)
    delivery = models.WebhookDelivery(
        id=new_id("whd"),
        workspace_id=one.workspace_id,
        webhook_id=row.id,
        event_id=new_id("evt"),
        event="server.ready",
        body=b"{}",
        state="failed",
        attempts=1,
        created_at=NOW,
        queued_at=NOW,
        last_attempt_at=NOW,
        error=f"no answer from {row.id}",
    )
    await world.add("auth", row)
    await world.add("auth", delivery)
    return Made(row.id, {"delivery_id": delivery.id})


async def webhook_delivery(world: World, one: Customer) -> Made:
    return Made((await webhook(world, one)).extra["delivery_id"])


async def suppression(world: World, one: Customer) -> Made:
    """A member whose address returned our mail."""
    email, account_id = f"{secrets.token_hex(6)}@people.test", new_id("usr")
    models = models_of("auth")
    row = models.MailSuppression(id=new_id("spr"), email=email, reason="bounced", since=NOW, until=LATER)
    await world.add(
        "auth",
        models.Account(id=account_id, email=email, name="Guest", password_hash="!", created_at=NOW),
        models.Member(
            id=new_id("mem"),
            workspace_id=one.workspace_id,
            account_id=account_id,
            role="member",
            joined_at=NOW,
        ),
        row,
    )
    return Made(row.id)
