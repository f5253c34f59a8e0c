"""Functions that work below a request: a worker's pass, a job, what follows a check; and what each is asked.

A newcomer adds a line: what to make, and how the arguments are called that name it.

- `FOREIGN`: A says what is B's. It gets nothing, and nothing of B's changes; B itself gets something.
- `OWN`: A says its own while B has the like. It gets its own, and nothing of B's.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import SystemClock
from shared.ids import new_id
from shared.web.pagination import PageRequest
from tests.fixtures import rows
from tests.isolation import factories, people
from tests.isolation.lists import LISTED
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


def _of(factory: Factory, name: str = "", **arguments: Any) -> Builder:
    """A thing of the factory's; its id is the argument of this name."""

    async def make(world: World, one: Customer) -> Fields:
        made = await factory(world, one)
        return {**({name: made.id} if name else {}), **arguments}

    return make


def _row(service: str, table: str, **values: Any) -> Builder:
    """A row of the customer's with these values, which are also the arguments."""

    async def make(world: World, one: Customer) -> Fields:
        url = world.migrated[service].superuser_url()
        owner = "scope" if table == "data_key" else "workspace_id"
        await rows.add(url, table, **{owner: one.workspace_id, **values})
        return values

    return make


W = "/v1/workspaces/{workspace_id}"
NOW = datetime.now(UTC)
PAST = NOW - timedelta(days=400)


# -- auth --------------------------------------------------------------------------------------------------------


async def _invitation(world: World, one: Customer) -> Fields:
    made = await factories.invitation(world, one)
    return {"invitation_id": made.id, "email": f"{made.id}@people.test", "sends": 1}


async def _letter(world: World, one: Customer) -> Fields:
    made = await factories.invitation(world, one)
    links = importlib.import_module("services.auth.mail_links").MailLinkSigner
    sending = importlib.import_module("services.auth.notifications.linked").Sending
    mail = people.models("auth").Notification(reference=made.id)
    return {
        "mail": mail,
        "sending": sending(NOW, links(world.mail_key, SystemClock()), "https://sendchief.test"),
    }


async def _ending(world: World, one: Customer) -> Fields:
    return await _row("auth", "deletion", requested_by=one.account_id)(world, one)


async def _muted(world: World, one: Customer) -> Fields:
    values = {"account_id": one.account_id, "kind": "server_ready"}
    await _row("auth", "notification_mute", **values)(world, one)
    return {"kinds": ["server_ready"]}


async def _suppressed(world: World, one: Customer) -> Fields:
    """A member's address and a guest's."""
    await factories.suppression(world, one)
    invited = await _invitation(world, one)
    models = people.models("auth")
    row = models.MailSuppression(id=new_id("spr"), email=invited["email"], reason="bounced", since=PAST)
    await world.add("auth", row)
    return {}


async def _only_theirs(world: World, one: Customer) -> Fields:
    """Whoever is not the customer says a workspace that never was: what everybody has, A has as well."""

    def of(_: AsyncSession, caller: Customer) -> str:
        return caller.workspace_id if caller == one else new_id("ws")

    return {"workspace_id": Late(of), "roles": ["owner"]}


async def _owner(world: World, one: Customer) -> Fields:
    return {"email": f"{one.account_id}@people.test"}


async def _as_from_the_start(world: World, one: Customer) -> Fields:
    return {}


# -- vault -------------------------------------------------------------------------------------------------------


async def _covered(world: World, one: Customer) -> Fields:
    """A secret of one customer, and an audit row of the caller's that names its owner."""
    mailbox_id = new_id("mbx")
    grant = importlib.import_module("services.vault.audited").grant

    def access(session: AsyncSession, caller: Customer) -> Any:
        return grant(
            session, "vault", workspace_id=caller.workspace_id, purpose="reveal", action="vault.tested",
            target=mailbox_id, owners=[mailbox_id],
        )  # fmt: skip

    return {"self": Late(access), "workspace_id": one.workspace_id, "owner_id": mailbox_id}


async def _reads(world: World, one: Customer) -> Fields:
    values = {"actor_id": one.account_id, "kind": "reveal"}
    await _row("vault", "read_limit", **values)(world, one)
    return {**values, "interval": timedelta(seconds=1), "most": 1}


async def _opened_webmail(world: World, one: Customer) -> Fields:
    await _row("vault", "webmail_sign_in", opened_by=one.account_id, ended_at=None)(world, one)
    return {"actor_id": one.account_id}


async def _sealed(world: World, one: Customer) -> Fields:
    await _row("vault", "secret", data_key_version=7)(world, one)
    return {"version": 7, "after": b"", "most": 10}


def _data_key(state: str) -> Builder:
    async def make(world: World, one: Customer) -> Fields:
        key = {"version": 7, "state": state, "wrapped": b"x", "unused_since": PAST, "root_key_id": "root 1"}
        await _row("vault", "data_key", **key)(world, one)
        seen = people.models("vault").DataKey

        def of(_: AsyncSession, caller: Customer) -> Any:
            return seen(scope=caller.workspace_id, **key)

        return {
            "version": 7, "number": 7, "wraps": 1, "since": None, "unused_before": NOW, "primary": "root 2",
            "after": ("", 0), "most": 10, "seen": Late(of), "root_key_id": "root 2", "wrapped": b"y",
        }  # fmt: skip

    return make


async def _keys_and_secrets(world: World, one: Customer) -> Fields:
    return {**await _sealed(world, one), **await _data_key("active")(world, one)}


async def _cached(world: World, one: Customer) -> Fields:
    cache = importlib.import_module("services.vault.data_keys.cache").DataKeyCache
    key = importlib.import_module("services.vault.secret_bytes").SecretBytes
    held = cache(SystemClock())
    held.put(one.workspace_id, 1, b"check", key(b"k" * 32))
    return {"self": held}


# -- provisioner -------------------------------------------------------------------------------------------------


async def _paid(world: World, one: Customer) -> Fields:
    """A payment whose metadata name the caller's workspace."""
    made = await factories.subscription(world, one)
    seen = importlib.import_module("services.provisioner.ports").PaymentSubscription

    def payment(_: AsyncSession, caller: Customer) -> Any:
        metadata = {"subscription_id": made.id, "workspace_id": caller.workspace_id}
        return seen(id=new_id("req"), status="active", customer_id=None, metadata=metadata)

    return {"seen": Late(payment), "look": 1, "platform_zone": "sendchief.test", "paid": False}


async def _expired_page(world: World, one: Customer) -> Fields:
    """The same of a payment page that has expired."""
    made = await factories.subscription(world, one)
    seen = importlib.import_module("services.provisioner.ports").PaymentPage

    def page(_: AsyncSession, caller: Customer) -> Any:
        metadata = {"subscription_id": made.id, "workspace_id": caller.workspace_id}
        return seen(id=new_id("req"), status="expired", metadata=metadata)

    return {"page": Late(page)}


async def _leaving(world: World, one: Customer) -> Fields:
    return await _row("provisioner", "workspace_deletion")(world, one)


# -- dns ---------------------------------------------------------------------------------------------------------


async def _writing(world: World, one: Customer) -> Fields:
    server_id = new_id("srv")
    await _row("dns", "write_intent", server_id=server_id, created_at=NOW)(world, one)
    nameset = people.models("dns").Nameset

    def of(_: AsyncSession, caller: Customer) -> Any:
        return nameset(server_id=server_id, workspace_id=caller.workspace_id)

    return {"nameset": Late(of), "since": PAST}


async def _named_zone(world: World, one: Customer) -> Fields:
    made = await factories.zone(world, one)
    async with world.databases["dns"].transaction() as session:
        return {"name": (await session.get_one(people.models("dns").Zone, made.id)).name}


async def _names_and_records(world: World, one: Customer) -> Fields:
    await factories.named_server(world, one)
    return await _row("dns", "owned_record")(world, one)


async def _ended_server(world: World, one: Customer) -> Fields:
    server_id = new_id("srv")
    await _row("reputation", "ended_server", id=server_id)(world, one)
    return {"server_id": server_id}


FOREIGN: dict[str, Foreign] = {
    "auth.api_keys.repository.page": Foreign(_of(factories.api_key)),
    "auth.api_keys.repository.get": Foreign(_of(factories.api_key, "key_id")),
    "auth.api_keys.repository.count_alive": Foreign(_of(factories.api_key)),
    "auth.api_keys.repository.revoke": Foreign(_of(factories.api_key, "key_id", reason="tried")),
    "auth.api_keys.repository.revoke_made_by": Foreign(_of(factories.api_key)),
    "auth.api_keys.repository.revoke_all": Foreign(_of(factories.api_key)),
    "auth.webhooks.repository.page": Foreign(_of(factories.webhook)),
    "auth.webhooks.repository.get": Foreign(_of(factories.webhook, "webhook_id")),
    "auth.webhooks.repository.lock": Foreign(_of(factories.webhook, "webhook_id")),
    "auth.webhooks.repository.count": Foreign(_of(factories.webhook)),
    "auth.webhooks.repository.remove_all": Foreign(_of(factories.webhook)),
    "auth.webhooks.repository.delivery": Foreign(_of(factories.webhook_delivery, "delivery_id")),
    "auth.webhooks.repository.wanting": Foreign(_of(factories.webhook, event="server.ready")),
    "auth.api_keys.repository.touch": Foreign(_of(factories.api_key, "key_id", older_than=NOW)),
    "auth.audit_log.repository.page": Foreign(_of(LISTED[f"GET {W}/audit"], action=None, target=None)),
    "auth.authority.repository.role_of": Foreign(_of(factories.member)),
    "auth.deletion.repository.get": Foreign(_ending),
    "auth.deletion.repository.requested_by": Foreign(_ending),
    "auth.deletion.repository.lock": Foreign(_ending),
    "auth.deliverability.repository.in_workspace": Foreign(_suppressed),
    "auth.invitations.repository.page": Foreign(_invitation),
    "auth.invitations.repository.open_for": Foreign(_invitation),
    "auth.invitations.repository.is_member": Foreign(_owner),
    "auth.invitations.repository.count_open": Foreign(_invitation),
    "auth.invitations.repository.lock": Foreign(_invitation),
    "auth.invitations.repository.accept": Foreign(_invitation),
    "auth.invitations.repository.revoke": Foreign(_invitation),
    "auth.invitations.repository.revoke_all": Foreign(_invitation),
    "auth.invitations.repository.revoke_made_by": Foreign(_invitation),
    "auth.notifications.repository.members_with_role": Foreign(_only_theirs),
    "auth.notifications.repository.is_member": Foreign(_owner),
    "auth.notifications.repository.workspace_name": Foreign(_only_theirs),
    "auth.preferences.repository.muted": Foreign(_muted),
    "auth.preferences.repository.unmute": Foreign(_muted),
    "auth.preferences.repository.lock_member": Foreign(_owner),
    "auth.threats.repository.page": Foreign(_of(LISTED[f"GET {W}/threats"], kind=None)),
    "auth.threats.repository.workspace_exists": Foreign(_only_theirs),
    "auth.workspaces.repository.lock_workspace": Foreign(_only_theirs),
    "auth.workspaces.repository.workspace": Foreign(_only_theirs),
    "auth.workspaces.repository.members": Foreign(_only_theirs),
    "auth.workspaces.repository.all_members": Foreign(_only_theirs),
    "auth.workspaces.repository.member_of_account": Foreign(_owner),
    "auth.workspaces.repository.member_and_account": Foreign(_of(factories.member, "member_id")),
    "auth.workspaces.repository.maker_of_key": Foreign(_of(factories.api_key, "key_id")),
    "auth.workspaces.repository.count_owners": Foreign(_only_theirs),
    "vault.admin.state_of": Foreign(
        _keys_and_secrets, lambda found: not found["secrets"] and not found["data_keys"]
    ),
    "vault.audited.AuditedAccess.check": Foreign(_covered, lambda found: isinstance(found, PermissionError)),
    "vault.credential_reads.repository.page": Foreign(
        _of(LISTED[f"GET {W}/credential-reads"], since=None, actor_id=None)
    ),
    "vault.read_limits.repository.free_at": Foreign(_reads, lambda found: isinstance(found, AssertionError)),
    "vault.webmail.repository.opened_by": Foreign(_opened_webmail),
    "vault.rotation.repository.batch": Foreign(_sealed),
    "vault.rotation.repository.is_used": Foreign(_sealed),
    "vault.rotation.repository.old_versions": Foreign(_data_key("decrypt_only")),
    "vault.rotation.repository.reserve": Foreign(_data_key("active")),
    "vault.rotation.repository.mark_unused": Foreign(_data_key("decrypt_only")),
    "vault.rotation.repository.destroy": Foreign(_data_key("decrypt_only")),
    "vault.rotation.repository.under_other_root_keys": Foreign(_data_key("active")),
    "vault.rotation.repository.rehang": Foreign(_data_key("active")),
    "vault.data_keys.cache.DataKeyCache.purge": Foreign(_cached),
    "vault.data_keys.repository.active": Foreign(_data_key("active")),
    "vault.data_keys.repository.version": Foreign(_data_key("active")),
    "vault.data_keys.repository.latest_version": Foreign(_data_key("active")),
    "vault.data_keys.repository.retire": Foreign(_data_key("active")),
    "vault.data_keys.repository.count_encryption": Foreign(_data_key("active")),
    "vault.data_keys.repository.shred": Foreign(_data_key("active")),
    "provisioner.billing.grant.take_in": Foreign(_paid, lambda found: found == "unknown_subscription"),
    "provisioner.billing.grant.expire": Foreign(_expired_page, lambda found: found == "unknown_subscription"),
    "provisioner.billing.invoices.page": Foreign(
        _of(factories.invoice, request=PageRequest(10, None, "")), lambda found: not found.items
    ),
    "provisioner.domains.repository.page": Foreign(_of(factories.domain)),
    "provisioner.mailboxes.repository.page": Foreign(_of(factories.mailbox)),
    "provisioner.servers.repository.page": Foreign(_of(factories.server)),
    "provisioner.subscriptions.repository.page": Foreign(_of(factories.subscription)),
    "provisioner.subscriptions.repository.customer": Foreign(_of(factories.subscription)),
    "provisioner.workspaces.emptied.announce_if_empty": Foreign(_leaving),
    "dns.servers.repository.zones_of": Foreign(_of(factories.zone)),
    "dns.servers.repository.open_intents": Foreign(_writing),
    "dns.servers.repository.wake_zones": Foreign(_of(factories.zone)),
    "dns.servers.repository.wake_namesets": Foreign(_of(factories.named_server)),
    "dns.workspaces.repository.locked": Foreign(_row("dns", "workspace_deletion")),
    "dns.workspaces.repository.is_empty": Foreign(_names_and_records, bool),
    "dns.workspaces.repository.present_zones": Foreign(_of(factories.zone)),
    "dns.zones.repository.page": Foreign(_of(factories.zone)),
    "dns.zones.repository.by_name": Foreign(_named_zone),
    "dns.zones.repository.workspace_zones": Foreign(_of(factories.zone)),
    "dns.zones.repository.workspace_namesets": Foreign(_of(factories.named_server)),
    "reputation.checks.repository.Repository.has_ended": Foreign(_ended_server),
}
"""Service, module and function → what it is asked about."""

OWN: dict[str, Own] = {
    "auth.notifications.linked.of_invitation": Own(_letter, _letter),
    "auth.workspaces.repository.of_account": Own(_as_from_the_start, _as_from_the_start),
    "provisioner.workspaces.emptied.announce_if_empty": Own(_leaving, _of(factories.server)),
    "vault.webmail.repository.lock_opener": Own(
        _row("vault", "webmail_opener", actor_id="usr_same"),
        _row("vault", "webmail_opener", actor_id="usr_same"),
    ),
    "vault.rotation.repository.destroy": Own(_data_key("decrypt_only"), _sealed),
}
