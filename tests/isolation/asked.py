"""What functions below a request are asked about: makers of things, whose ids are arguments (see `functions.py`)."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import SystemClock
from shared.ids import new_id
from tests.fixtures import rows
from tests.isolation import factories, people
from tests.isolation.world import Customer, Factory, World

Fields = dict[str, Any]
"""Arguments by name. Whose workspace, whose account and what time it is go without saying, as does a list's start."""
Builder = Callable[[World, Customer], Awaitable[Fields]]


@dataclass(frozen=True)
class Late:
    """Made for whoever calls, in his transaction."""

    make: Callable[[AsyncSession, Customer], Any]


@dataclass(frozen=True)
class Foreign:
    make: Builder
    nothing: Callable[[Any], bool] = lambda outcome: not outcome
    """Whether the outcome, or the exception, tells nothing."""


@dataclass(frozen=True)
class Own:
    make: Builder
    beside: Builder
    """What B has meanwhile."""


def of(factory: Factory, name: str = "", **arguments: Any) -> Builder:
    """A thing of the factory's; its id is the argument of this name."""

    async def make(world: World, one: Customer) -> Fields:
        made = await factory(world, one)
        return {**({name: made.id} if name else {}), **arguments}

    return make


def row(service: str, table: str, **values: Any) -> Builder:
    """A row of the customer's with these values, which are also the arguments."""

    async def make(world: World, one: Customer) -> Fields:
        url = world.migrated[service].superuser_url()
        column = "scope" if table == "data_key" else "workspace_id"
        await rows.add(url, table, **{column: one.workspace_id, **values})
        return values

    return make


NOW = datetime.now(UTC)
PAST = NOW - timedelta(days=400)


# -- auth --------------------------------------------------------------------------------------------------------


async def invitation(world: World, one: Customer) -> Fields:
    made = await factories.auth.invitation(world, one)
    return {"invitation_id": made.id, "email": f"{made.id}@people.test", "sends": 1}


async def letter(world: World, one: Customer) -> Fields:
    made = await factories.auth.invitation(world, one)
    links = importlib.import_module("services.auth.mail_links").MailLinkSigner
    sending = importlib.import_module("services.auth.notifications.linked").Sending
    mail = people.models("auth").Notification(reference=made.id)
    return {
        "mail": mail,
        "sending": sending(NOW, links(world.mail_key, SystemClock()), "https://sendchief.test"),
    }


async def ending(world: World, one: Customer) -> Fields:
    return await row("auth", "deletion", requested_by=one.account_id)(world, one)


async def muted(world: World, one: Customer) -> Fields:
    values = {"account_id": one.account_id, "kind": "server_ready"}
    await row("auth", "notification_mute", **values)(world, one)
    return {"kinds": ["server_ready"]}


async def suppressed(world: World, one: Customer) -> Fields:
    """A member's address and a guest's."""
    await factories.auth.suppression(world, one)
    invited = await invitation(world, one)
    models = people.models("auth")
    bounced = models.MailSuppression(id=new_id("spr"), email=invited["email"], reason="bounced", since=PAST)
    await world.add("auth", bounced)
    return {}


async def only_theirs(world: World, one: Customer) -> Fields:
    """Whoever is not the customer says a workspace that never was: what everybody has, A has as well."""

    def made_for(_: AsyncSession, caller: Customer) -> str:
        return caller.workspace_id if caller == one else new_id("ws")

    return {"workspace_id": Late(made_for), "roles": ["owner"]}


async def owner(world: World, one: Customer) -> Fields:
    return {"email": f"{one.account_id}@people.test"}


async def as_from_the_start(world: World, one: Customer) -> Fields:
    return {}


# -- vault -------------------------------------------------------------------------------------------------------


async def covered(world: World, one: Customer) -> Fields:
    """A secret of one customer, and an audit row of the caller's that names its owner."""
    mailbox_id = new_id("mbx")
    grant = importlib.import_module("services.vault.audited").grant

    def access(session: AsyncSession, caller: Customer) -> Any:
        return grant(
            session, "vault", workspace_id=caller.workspace_id, purpose="reveal", action="vault.tested",
            target=mailbox_id, owners=[mailbox_id],
        )  # fmt: skip

    return {"self": Late(access), "workspace_id": one.workspace_id, "owner_id": mailbox_id}


async def reads(world: World, one: Customer) -> Fields:
    values = {"actor_id": one.account_id, "kind": "reveal"}
    await row("vault", "read_limit", **values)(world, one)
    return {**values, "interval": timedelta(seconds=1), "most": 1}


async def sealed(world: World, one: Customer) -> Fields:
    await row("vault", "secret", data_key_version=7)(world, one)
    return {"version": 7, "after": b"", "most": 10}


def data_key(state: str) -> Builder:
    async def make(world: World, one: Customer) -> Fields:
        key = {"version": 7, "state": state, "wrapped": b"x", "unused_since": PAST, "root_key_id": "root 1"}
        await row("vault", "data_key", **key)(world, one)
        seen = people.models("vault").DataKey

        def made_for(_: AsyncSession, caller: Customer) -> Any:
            return seen(scope=caller.workspace_id, **key)

        return {
            "version": 7, "number": 7, "wraps": 1, "since": None, "unused_before": NOW, "primary": "root 2",
            "after": ("", 0), "most": 10, "seen": Late(made_for), "root_key_id": "root 2", "wrapped": b"y",
        }  # fmt: skip

    return make


async def keys_and_secrets(world: World, one: Customer) -> Fields:
    return {**await sealed(world, one), **await data_key("active")(world, one)}


async def cached(world: World, one: Customer) -> Fields:
    cache = importlib.import_module("services.vault.data_keys.cache").DataKeyCache
    key = importlib.import_module("services.vault.secret_bytes").SecretBytes
    held = cache(SystemClock())
    held.put(one.workspace_id, 1, b"check", key(b"k" * 32))
    return {"self": held}


# -- provisioner -------------------------------------------------------------------------------------------------


async def paid(world: World, one: Customer) -> Fields:
    """A payment whose metadata name the caller's workspace."""
    made = await factories.provisioner.subscription(world, one)
    seen = importlib.import_module("services.provisioner.ports").PaymentSubscription

    def payment(_: AsyncSession, caller: Customer) -> Any:
        metadata = {"subscription_id": made.id, "workspace_id": caller.workspace_id}
        return seen(id=new_id("req"), status="active", customer_id=None, metadata=metadata)

    return {"seen": Late(payment), "look": 1, "platform_zone": "sendchief.test", "paid": False}


async def expired_page(world: World, one: Customer) -> Fields:
    """The same of a payment page that has expired."""
    made = await factories.provisioner.subscription(world, one)
    seen = importlib.import_module("services.provisioner.ports").PaymentPage

    def page(_: AsyncSession, caller: Customer) -> Any:
        metadata = {"subscription_id": made.id, "workspace_id": caller.workspace_id}
        return seen(id=new_id("req"), status="expired", metadata=metadata)

    return {"page": Late(page)}


async def leaving(world: World, one: Customer) -> Fields:
    return await row("provisioner", "workspace_deletion")(world, one)


# -- dns ---------------------------------------------------------------------------------------------------------


async def writing(world: World, one: Customer) -> Fields:
    server_id = new_id("srv")
    await row("dns", "write_intent", server_id=server_id, created_at=NOW)(world, one)
    nameset = people.models("dns").Nameset

    def made_for(_: AsyncSession, caller: Customer) -> Any:
        return nameset(server_id=server_id, workspace_id=caller.workspace_id)

    return {"nameset": Late(made_for), "since": PAST}


async def named_zone(world: World, one: Customer) -> Fields:
    made = await factories.dns.zone(world, one)
    async with world.databases["dns"].transaction() as session:
        return {"name": (await session.get_one(people.models("dns").Zone, made.id)).name}


async def proven_name(world: World, one: Customer) -> Fields:
    return {"name": await factories.provisioner.proven_name(world, one)}


async def names_and_records(world: World, one: Customer) -> Fields:
    await factories.dns.named_server(world, one)
    return await row("dns", "owned_record")(world, one)


async def ended_server(world: World, one: Customer) -> Fields:
    server_id = new_id("srv")
    await row("reputation", "ended_server", id=server_id)(world, one)
    return {"server_id": server_id}
