"""Messages that name A's workspace and carry ids of B's things, for every handler that finds rows by an id.

Workers see all rows, so here the handlers' own conditions are the wall.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select

from shared.bus.binding import Binding
from shared.bus.errors import Permanent
from shared.bus.testing import RecordingBus, envelope_for
from shared.clock import SystemClock
from shared.ids import new_id
from tests.fixtures import rows
from tests.isolation import factories, people
from tests.isolation.services import available
from tests.isolation.world import Customer, World

Fields = dict[str, Any]
Builder = Callable[[World, Customer], Awaitable[Fields]]


async def _cloud_address(made: World, b: Customer) -> Fields:
    server = await factories.provisioner.server(made, b)
    tables = people.models("provisioner")
    resource, address = new_id("res"), new_id("adr")
    await made.add(
        "provisioner",
        tables.CloudResource(
            id=resource, workspace_id=b.workspace_id, server_id=server.id, kind="ip", slot="v4", zone="fr-par-1",
            attempt=1, request={}, state="bound", intent_at=datetime.now(UTC),
        ),
        tables.Address(
            id=address, workspace_id=b.workspace_id, server_id=server.id, resource_id=resource, family=4,
            attempt=1, address="198.51.100.9", state="checking",
        ),
    )  # fmt: skip
    return {"server_id": server.id, "address_id": address, "address": "198.51.100.9", "verdict": "listed"}


async def _names(made: World, b: Customer) -> Fields:
    server = await factories.provisioner.server(made, b)
    return {"server_id": server.id, "generation": 9, "forward": True, "reverse": True}


async def _zone(made: World, b: Customer) -> Fields:
    row = people.models("provisioner").ProvenZone(
        zone_id=new_id("zon"),
        workspace_id=b.workspace_id,
        name=f"{new_id('zon')[4:]}.test",
        proven=False,
        version=0,
    )
    await made.add("provisioner", row)
    return {"zone_id": row.zone_id, "name": row.name}


async def _proven_zone(made: World, b: Customer) -> Fields:
    fields = await _zone(made, b)
    async with made.databases["provisioner"].transaction() as session:
        row = await session.get_one(people.models("provisioner").ProvenZone, fields["zone_id"])
        row.proven = True
    return fields


async def _desired(made: World, b: Customer) -> Fields:
    server = await factories.dns.named_server(made, b)
    return {
        "server_id": server.id, "generation": 9, "hostname": f"s{server.id[-8:]}.mx.sendchief.test",
        "ipv4": "198.51.100.9", "ipv6": None, "withdrawn": True,
    }  # fmt: skip


async def _watched(made: World, b: Customer) -> Fields:
    server_id, address_id = new_id("srv"), new_id("adr")
    row = people.models("reputation").Address(
        id=address_id, workspace_id=b.workspace_id, server_id=server_id, address="198.51.100.9", family=4,
        attempt=1, state="candidate",
    )  # fmt: skip
    await made.add("reputation", row)
    return {
        "server_id": server_id, "address_id": address_id, "address": "198.51.100.9", "family": 4, "attempt": 1,
        "hostname": "s1.mx.sendchief.test", "ipv4": "198.51.100.9", "ipv6": "2001:db8:5c::9", "zone": "fr-par-1",
    }  # fmt: skip


async def _secret(made: World, b: Customer) -> Fields:
    """A mailbox with a password and an app password, neither of which the host has taken in yet."""
    mailbox = (await factories.vault.app_password(made, b)).extra
    secrets = people.models("vault").Secret
    async with made.databases["vault"].transaction() as session:
        owned = await session.scalars(select(secrets).where(secrets.owner_id == mailbox["mailbox_id"]))
        for row in owned.all():
            row.state = "pending"
        version = (
            await session.get_one(people.models("vault").Mailbox, mailbox["mailbox_id"])
        ).credentials_version
    return {
        "mailbox_id": mailbox["mailbox_id"], "version": version, "server_id": mailbox["server_id"],
        "hostname": "s1.mx.sendchief.test", "ipv4": "198.51.100.9", "ipv6": "2001:db8:5c::9", "zone": "fr-par-1",
    }  # fmt: skip


async def _mailbox(made: World, b: Customer) -> Fields:
    return {
        "mailbox_id": (await factories.provisioner.mailbox(made, b)).id, "version": 2, "job_id": new_id("job"),
        "requested_by": b.account_id, "ended": ["j" * 22],
    }  # fmt: skip


async def _customer(made: World, b: Customer) -> Fields:
    """A server, and a purchase that is not paid for yet."""
    bought = await factories.provisioner.subscription(made, b)
    async with made.databases["provisioner"].transaction() as session:
        row = await session.get_one(people.models("provisioner").Subscription, bought.id)
        row.status = "pending"
    return await _names(made, b)


def _everything(service: str, *without: str) -> Builder:
    """A row in each of the service's tables, but for what would stop its end."""

    async def builder(made: World, b: Customer) -> Fields:
        url = made.migrated[service].superuser_url()
        await rows.fill(url, b.workspace_id, without=without)
        return {}

    return builder


async def _app_password(made: World, b: Customer) -> Fields:
    mailbox = await factories.vault.secret_mailbox(made, b)
    row = people.models("vault").AppPassword(
        id=new_id("apw"), workspace_id=b.workspace_id, mailbox_id=mailbox.id, version=7, name="phone",
        created_by=b.account_id, created_at=datetime.now(UTC),
    )  # fmt: skip
    await made.add("vault", row)
    return {"mailbox_id": mailbox.id, "used": [{"version": 7, "at": datetime.now(UTC)}]}


async def _moved(made: World, b: Customer) -> Fields:
    return {**await _secret(made, b), "server_id": new_id("srv")}


async def _webmail(made: World, b: Customer) -> Fields:
    mailbox = await factories.vault.secret_mailbox(made, b)
    row = people.models("vault").WebmailSignIn(
        id=new_id("req"), workspace_id=b.workspace_id, mailbox_id=mailbox.id, opened_by=b.account_id,
        issued_at=datetime.now(UTC),
    )  # fmt: skip
    await made.add("vault", row)
    return {"account_id": b.account_id, "key_id": b.account_id, "role": None, "sequence": 9}


MESSAGES: dict[tuple[str, str], Builder] = {
    ("provisioner", "reputation.address.checked.v1"): _cloud_address,
    ("provisioner", "dns.nameset.verified.v1"): _names,
    ("provisioner", "dns.zone.proven.v1"): _zone,
    ("provisioner", "dns.zone.removed.v1"): _proven_zone,
    ("provisioner", "vault.mailbox.credentials_changed.v1"): _mailbox,
    ("provisioner", "vault.mailbox.webmail_ended.v1"): _mailbox,
    ("dns", "provisioner.server.dns_desired.v1"): _desired,
    ("reputation", "provisioner.address.reserved.v1"): _watched,
    ("reputation", "provisioner.address.released.v1"): _watched,
    ("reputation", "provisioner.server.ready.v1"): _watched,
    ("reputation", "provisioner.server.deleted.v1"): _watched,
    ("vault", "provisioner.mailbox.credential_applied.v1"): _secret,
    ("vault", "provisioner.mailbox.moved.v1"): _moved,
    ("vault", "provisioner.mailbox.removed.v1"): _secret,
    ("vault", "provisioner.mailbox.passwords_used.v1"): _app_password,
    ("vault", "auth.membership.changed.v1"): _webmail,
    ("vault", "auth.api_key.revoked.v1"): _webmail,
    ("vault", "provisioner.server.ready.v1"): _secret,
    ("vault", "provisioner.server.deleted.v1"): _secret,
    ("provisioner", "auth.workspace.deletion_requested.v1"): _customer,
    ("provisioner", "auth.workspace.deleted.v1"): _everything("provisioner", "server"),
    ("dns", "auth.workspace.deletion_requested.v1"): _desired,
    ("dns", "auth.workspace.deleted.v1"): _everything("dns"),
    ("reputation", "auth.workspace.deleted.v1"): _everything("reputation"),
    ("vault", "auth.workspace.deleted.v1"): _everything("vault", "shredded_scope"),
}
ADDS_ONLY = frozenset({"auth"})
"""Auth writes what it hears under the workspace of the message: logs, receipts, mails. It changes no row by an id."""

BINDINGS: list[Binding] = [
    binding
    for service in available()
    for binding in importlib.import_module(f"services.{service}.bindings").BINDINGS
]
BY_ID = [binding for binding in BINDINGS if binding.service not in ADDS_ONLY]


class _NoLists:
    async def check(self, address: str) -> list[Any]:
        return []


def _bus(made: World, service: str) -> RecordingBus:
    bindings = importlib.import_module(f"services.{service}.bindings").BINDINGS
    rules = SimpleNamespace(special_use_names=(), platform_zone="sendchief.test", refused_networks=())
    resources: Any = SimpleNamespace(
        clock=SystemClock(), rules=rules, checker=_NoLists(), pace=SimpleNamespace(unknown_retry=1.0)
    )
    if service == "vault":
        resources = made.apps["vault"].state.resources
    return RecordingBus(made.databases[service], bindings, resources)


async def _deliver(made: World, binding: Binding, fields: Fields, workspace_id: str) -> None:
    event = binding.event.model_validate({**fields, "workspace_id": workspace_id})
    await _bus(made, binding.service).deliver(event, envelope=envelope_for(event, aggregate_version=9))


async def check_mails(made: World, binding: Binding) -> list[str]:
    """What happens in A is told to A's people, and to nobody of B."""
    a, b = factories.customers.customer("A"), factories.customers.customer("B")
    for one in (a, b):
        await factories.customers.admit(made, one)
    event = binding.event.model_validate({**await _secret(made, a), "workspace_id": a.workspace_id})
    await _bus(made, binding.service).deliver(event, envelope=envelope_for(event))
    table = people.models("auth").Notification
    async with made.databases["auth"].transaction() as session:
        found = select(table.account_id).where(table.account_id.in_([a.account_id, b.account_id]))
        told = set((await session.scalars(found)).all())
    return [] if told == {a.account_id} else [f"told are {len(told)}, and the owner of A should be the one"]


async def check(made: World, binding: Binding) -> list[str]:
    """What is wrong. The message is also delivered with the right workspace, to show that it can do something."""
    builder = MESSAGES.get((binding.service, binding.event.type))
    if builder is None:
        return [f"{binding.queue} takes {binding.event.type}: say in MESSAGES how to make what it is about"]
    a, b = factories.customers.customer("A"), factories.customers.customer("B")
    for one in (a, b):
        await factories.customers.admit(made, one)
    fields = await builder(made, b)
    before = await made.holdings(b, with_uses=True)
    with contextlib.suppress(Permanent):  # parked: seen by an operator
        await _deliver(made, binding, fields, a.workspace_id)
    if await made.holdings(b, with_uses=True) != before:
        return ["a message of another workspace changed what B has"]
    await _deliver(made, binding, fields, b.workspace_id)
    if await made.holdings(b, with_uses=True) == before:
        return ["this message does nothing at all, so the row shows nothing"]
    return []
