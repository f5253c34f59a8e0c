"""A factory for each path parameter of each service: fresh, real things of a customer.

A parameter without a factory fails the test, so whoever adds a route with a new kind of id adds a line here.
"""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from passlib.hash import argon2
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from shared.ids import new_id
from tests.isolation.services import available
from tests.isolation.world import Customer, Factory, Made, World

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)
PASSWORD = "of everybody here 4711"
PASSWORD_HASH = argon2.using(memory_cost=8, rounds=1, parallelism=1).hash(PASSWORD)


def _models(service: str) -> Any:
    return importlib.import_module(f"services.{service}.models")


def customer(name: str) -> Customer:
    return Customer(new_id("ws"), new_id("usr"), f"Customer {name} {secrets.token_hex(4)}")


@asynccontextmanager
async def key_service(socket: Path) -> AsyncIterator[None]:
    """The vault's key service, on a real socket, for this process's own uid."""
    if "vault" not in available():
        yield
        return
    keyring = importlib.import_module("services.vault.keyservice.keyring")
    server_kind = importlib.import_module("services.vault.keyservice.server").KeyServer
    root = keyring.new_root_key(datetime.now(UTC))
    store_kind = importlib.import_module("services.vault.keyservice.root_keys").KeyringStore
    server = server_kind(store_kind(keyring.Keyring((root,), root.id)), frozenset({os.geteuid()}))
    listening = await server.listen(socket)
    try:
        yield
    finally:
        listening.close()
        server.disconnect()


async def admit(world: World, one: Customer) -> None:
    """What every customer has from the start: an account and a workspace with him as its owner."""
    models = _models("auth")
    await world.add(
        "auth",
        models.Account(
            id=one.account_id,
            email=f"{one.account_id}@people.test",
            name=one.name,
            password_hash=PASSWORD_HASH,
            created_at=NOW,
        ),
        models.Workspace(id=one.workspace_id, name=one.name, created_by=one.account_id, created_at=NOW),
        models.Member(
            id=new_id("mem"),
            workspace_id=one.workspace_id,
            account_id=one.account_id,
            role="owner",
            joined_at=NOW,
        ),
    )


# -- auth --------------------------------------------------------------------------------------------------------


async def member(world: World, one: Customer, role: str = "member") -> Made:
    models = _models("auth")
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
    row = _models("auth").Invitation(
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
    row = _models("auth").ApiKey(
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
    row = _models("auth").Session(
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
    row = _models("auth").Deletion(
        workspace_id=new_id("ws"), workspace_name="ended", requested_by=one.account_id, requested_at=NOW
    )
    await world.add("auth", row)
    return Made(row.workspace_id)


async def webhook(world: World, one: Customer) -> Made:
    """With a secret under the key that the stage's API has, and a delivery that has failed."""
    sealing = importlib.import_module("services.auth.sealing").Sealing
    models = _models("auth")
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
    models = _models("auth")
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


# -- vault -------------------------------------------------------------------------------------------------------


async def secret_mailbox(world: World, one: Customer) -> Made:
    """A mailbox with a password, on a host with a webmail key: made by the calls that make them in life."""
    mailbox_id, server_id = new_id("mbx"), new_id("srv")
    address, hostname = f"{secrets.token_hex(4)}@example-a.test", f"s{secrets.token_hex(4)}.mx.sendchief.test"
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            f"/internal/servers/{server_id}/webmail-key",
            {"workspace_id": one.workspace_id, "hostname": hostname},
        ),
        (
            f"/internal/mailboxes/{mailbox_id}",
            {
                "workspace_id": one.workspace_id,
                "server_id": server_id,
                "address": address,
            },
        ),
    )
    for path, body in calls:
        answer = await world.as_service("provisioner", "vault", "PUT", path, one, body)
        assert answer.status == 200, answer.body
    mailboxes, workers = _models("vault").Secret, world.databases["vault"]
    async with workers.transaction() as session:
        for row in await session.scalars(select(mailboxes).where(mailboxes.owner_id == mailbox_id)):
            row.state = "current"
    return Made(mailbox_id, {"server_id": server_id, "address": address, "hostname": hostname})


async def export(world: World, one: Customer) -> Made:
    import json

    mailbox = await secret_mailbox(world, one)
    body = {"format": "json", "mailbox_ids": [mailbox.id], "reason": "moving house", "main_password": True}
    answer = await world.ask("vault", "POST", f"/v1/workspaces/{one.workspace_id}/exports", one, body)
    assert answer.status == 201, answer.body
    found = json.loads(answer.body)
    return Made(found["id"], {"token": found["token"]})


async def app_password(world: World, one: Customer) -> Made:
    import json

    mailbox = await secret_mailbox(world, one)
    path = f"/v1/workspaces/{one.workspace_id}/mailboxes/{mailbox.id}/app-passwords"
    answer = await world.ask("vault", "POST", path, one, {"name": "phone", "reason": "a new phone"})
    assert answer.status == 201, answer.body
    return Made(json.loads(answer.body)["id"], {"mailbox_id": mailbox.id, **mailbox.extra})


async def provider_token(world: World, one: Customer) -> Made:
    import json

    body = {"provider": "cloudflare", "token": secrets.token_urlsafe(30), "label": "zone"}
    answer = await world.ask("vault", "POST", f"/v1/workspaces/{one.workspace_id}/provider-tokens", one, body)
    assert answer.status == 201, answer.body
    return Made(json.loads(answer.body)["id"])


async def rotation(world: World, one: Customer) -> Made:
    import json

    path = f"/v1/workspaces/{one.workspace_id}/credential-reads/rotate"
    body = {"actor_id": one.account_id, "reason": "a colleague has left"}
    answer = await world.ask("vault", "POST", path, one, body)
    assert answer.status == 202, answer.body
    return Made(json.loads(answer.body)["job_id"])


# -- provisioner -------------------------------------------------------------------------------------------------


async def subscription(world: World, one: Customer) -> Made:
    models = _models("provisioner")
    row = models.Subscription(
        id=new_id("sub"),
        workspace_id=one.workspace_id,
        plan=_plan(),
        zone="fr-par-1",
        status="active",
        stripe_customer_id="cus_of_nobody",
        created_by=one.account_id,
    )
    await world.add("provisioner", row)
    return Made(row.id)


async def priced_plan(world: World) -> str:
    """A plan that can be bought: the payment provider has its price."""
    plan = _first_plan()
    values = {
        "plan": plan.id,
        "price_id": "price_of_nobody",
        "amount_cents": plan.amount_cents,
        "currency": plan.currency,
        "seen_at": datetime.now(UTC),
    }
    async with world.databases["provisioner"].transaction() as session:
        await session.execute(insert(_models("provisioner").Price).values(values).on_conflict_do_nothing())
    return str(plan.id)


async def invoice(world: World, one: Customer) -> Made:
    bought = await subscription(world, one)
    row = _models("provisioner").Invoice(
        id=f"in_{new_id('req')[4:]}",
        workspace_id=one.workspace_id,
        subscription_id=bought.id,
        status="paid",
        amount_due=2900,
        amount_paid=2900,
        currency="eur",
        created_at=datetime.now(UTC),
        look=1,
    )
    await world.add("provisioner", row)
    return Made(row.id)


async def server(world: World, one: Customer) -> Made:
    """Paid for and ready, with the job that provisioned it."""
    models = _models("provisioner")
    create = importlib.import_module("services.provisioner.servers.service").create
    bought = await subscription(world, one)
    async with world.databases["provisioner"].transaction(workspace_id=one.workspace_id) as session:
        row = await create(session, await session.get_one(models.Subscription, bought.id), "sendchief.test")
        row.ever_ready = True
        job = (await session.scalars(select(models.Job).where(models.Job.server_id == row.id))).first()
        assert job is not None
        session.add(_begun(models, job))
        return Made(row.id, {"hostname": row.hostname, "job_id": job.id})


def _begun(models: Any, job: Any) -> Any:
    """The first line of a job's log."""
    return models.StepLog(
        workspace_id=job.workspace_id,
        server_id=job.server_id,
        subject_id=job.subject_id,
        step="reserve_addresses",
        outcome="started",
        attempt=1,
        generation=job.generation,
        fence=1,
        at=NOW,
        message=f"for {job.server_id}",
    )


async def job(world: World, one: Customer) -> Made:
    return Made((await server(world, one)).extra["job_id"])


async def domain(world: World, one: Customer) -> Made:
    host = await server(world, one)
    row = _models("provisioner").Domain(
        id=new_id("dom"),
        workspace_id=one.workspace_id,
        server_id=host.id,
        zone_id=new_id("zon"),
        name=f"{secrets.token_hex(4)}.example-a.test",
        state="ready",
        generation=1,
        dkim_rsa_selector="r1",
        dkim_ed25519_selector="e1",
        mta_sts_id="1",
    )
    await world.add("provisioner", row)
    return Made(row.id, {"server_id": host.id, "name": row.name})


async def mailbox(world: World, one: Customer) -> Made:
    of = await domain(world, one)
    local_part = secrets.token_hex(4)
    row = _models("provisioner").Mailbox(
        id=new_id("mbx"),
        workspace_id=one.workspace_id,
        server_id=of.extra["server_id"],
        domain_id=of.id,
        address=f"{local_part}@{of.extra['name']}",
        local_part=local_part,
        display_name="",
        state="active",
        generation=1,
    )
    await world.add("provisioner", row)
    return Made(row.id)


async def proven_name(world: World, one: Customer) -> str:
    """A zone that the provisioner knows the customer has proven."""
    name = f"{secrets.token_hex(6)}.test"
    row = _models("provisioner").ProvenZone(
        zone_id=new_id("zon"), workspace_id=one.workspace_id, name=name, proven=True, version=1
    )
    await world.add("provisioner", row)
    return name


def _plan() -> str:
    return str(_first_plan().id)


def _first_plan() -> Any:
    plans = importlib.import_module("services.provisioner.plans")
    settings = importlib.import_module("services.provisioner.settings")
    return plans.Catalogue.load(settings.PLANS_FILE).plans[0]


# -- dns ---------------------------------------------------------------------------------------------------------


async def zone(world: World, one: Customer) -> Made:
    """Proven, with a plan to approve."""
    models = _models("dns")
    zone_id, plan_id = new_id("zon"), new_id("pln")
    content: dict[str, list[Any]] = {
        name: [] for name in ("creates", "updates", "deletes", "conflicts", "unchanged", "foreign")
    }
    await world.add(
        "dns",
        models.Zone(
            id=zone_id,
            workspace_id=one.workspace_id,
            name=f"{secrets.token_hex(6)}.test",
            method="token",
            provider_token_id=new_id("ptk"),
            provider_zone_id=secrets.token_hex(16),
            challenge=secrets.token_hex(8),
            state="proven",
            name_servers=[],
            created_at=NOW,
            proven_at=NOW,
            due_at=LATER,
        ),
        models.RecordPlan(
            id=plan_id,
            workspace_id=one.workspace_id,
            zone_id=zone_id,
            state="ready",
            fingerprint="f",
            content=content,
            accepted=[],
            computed_at=NOW,
            expires_at=LATER,
        ),
    )
    return Made(zone_id, {"plan_id": plan_id})


async def named_server(world: World, one: Customer) -> Made:
    identifier = new_id("srv")
    hostname = f"s{identifier[-8:]}.mx.sendchief.test"
    row = _models("dns").Nameset(
        server_id=identifier,
        workspace_id=one.workspace_id,
        generation=1,
        aggregate_version=1,
        hostname=hostname,
        withdrawn=False,
        desired={},
        emitted={},
        pending_since=NOW,
        due_at=LATER,
    )
    await world.add("dns", row)
    return Made(identifier)


# -- reputation --------------------------------------------------------------------------------------------------


async def watched_server(world: World, one: Customer) -> Made:
    identifier = new_id("srv")
    row = _models("reputation").Address(
        id=new_id("adr"),
        workspace_id=one.workspace_id,
        server_id=identifier,
        address=f"198.51.100.{secrets.randbelow(250) + 1}",
        family=4,
        attempt=1,
        state="live",
    )
    await world.add("reputation", row)
    return Made(identifier)


FACTORIES: dict[tuple[str, str], Factory] = {
    ("auth", "member_id"): member,
    ("auth", "invitation_id"): invitation,
    ("auth", "key_id"): api_key,
    ("auth", "session_id"): session,
    ("auth", "ended_workspace_id"): ended_workspace,
    ("auth", "suppression_id"): suppression,
    ("auth", "webhook_id"): webhook,
    ("auth", "delivery_id"): webhook_delivery,
    ("vault", "mailbox_id"): secret_mailbox,
    ("vault", "export_id"): export,
    ("vault", "app_password_id"): app_password,
    ("vault", "rotation_id"): rotation,
    ("provisioner", "subscription_id"): subscription,
    ("provisioner", "server_id"): server,
    ("provisioner", "job_id"): job,
    ("provisioner", "domain_id"): domain,
    ("provisioner", "mailbox_id"): mailbox,
    ("dns", "zone_id"): zone,
    ("dns", "server_id"): named_server,
    ("reputation", "server_id"): watched_server,
}
PREFIXES = {
    "session_id": "ses",
    "workspace_id": "ws", "ended_workspace_id": "ws", "member_id": "mem", "invitation_id": "inv", "key_id": "key",
    "mailbox_id": "mbx", "export_id": "exp", "subscription_id": "sub", "server_id": "srv", "job_id": "job",
    "domain_id": "dom", "zone_id": "zon", "provider_token_id": "ptk", "plan_id": "pln", "token_id": "ptk",
    "suppression_id": "spr", "app_password_id": "apw", "rotation_id": "rot", "webhook_id": "whk", "delivery_id": "whd",
}  # fmt: skip
