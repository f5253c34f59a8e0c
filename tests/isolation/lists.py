"""What each list of a workspace lists: a factory per list, so that there is something that must not be seen."""

from __future__ import annotations

import secrets as random
from datetime import UTC, datetime

from shared.ids import new_id
from tests.isolation import factories, people
from tests.isolation.world import Customer, Factory, Made, World

_W = "/v1/workspaces/{workspace_id}"


async def _audit_row(world: World, one: Customer) -> Made:
    row = people.models("auth").AuditLog(
        id=new_id("aud"), workspace_id=one.workspace_id, service="dns", sequence=random.randbelow(10**9),
        at=datetime.now(UTC), actor_kind="user", actor_id=one.account_id, action="dns.zone.registered",
        target=new_id("zon"), outcome="ok", data={}, row_hash=random.token_hex(32),
    )  # fmt: skip
    await world.add("auth", row)
    return Made(row.target)


async def _credential_read(world: World, one: Customer) -> Made:
    mailbox = await factories.vault.secret_mailbox(world, one)
    path = f"/v1/workspaces/{one.workspace_id}/mailboxes/{mailbox.id}/reveal"
    answer = await world.ask("vault", "POST", path, one, {"reason": "asked by phone"})
    assert answer.status == 200, answer.body
    return mailbox


async def _threat(world: World, one: Customer) -> Made:
    now = datetime.now(UTC)
    row = people.models("auth").Threat(
        id=new_id("thr"), workspace_id=one.workspace_id, kind="signature", action="observed",
        source=f"198.51.100.{random.randbelow(250)}", signatures=[random.token_hex(6)], count=1, first_at=now,
        last_at=now,
    )  # fmt: skip
    await world.add("auth", row)
    return Made(row.id)


LISTED: dict[str, Factory] = {
    f"GET {_W}/members": factories.auth.member,
    f"GET {_W}/invitations": factories.auth.invitation,
    f"GET {_W}/api-keys": factories.auth.api_key,
    f"GET {_W}/webhooks": factories.auth.webhook,
    f"GET {_W}/audit": _audit_row,
    f"GET {_W}/threats": _threat,
    f"GET {_W}/provider-tokens": factories.vault.provider_token,
    f"GET {_W}/credential-reads": _credential_read,
    f"GET {_W}/subscriptions": factories.provisioner.subscription,
    f"GET {_W}/invoices": factories.provisioner.invoice,
    f"GET {_W}/servers": factories.provisioner.server,
    f"GET {_W}/domains": factories.provisioner.domain,
    f"GET {_W}/mailboxes": factories.provisioner.mailbox,
    f"GET {_W}/zones": factories.dns.zone,
}
