"""Functions that work below a request: a worker's pass, a job, what follows a check; and what each is asked.

A newcomer adds a line: what to make, and how the arguments are called that name it (`asked.py`).

- `FOREIGN`: A says what is B's. It gets nothing, and nothing of B's changes; B itself gets something.
- `OWN`: A says its own while B has the like. It gets its own, and nothing of B's.
"""

from __future__ import annotations

from shared.web.pagination import PageRequest
from tests.isolation import asked, factories
from tests.isolation.asked import Foreign, Own
from tests.isolation.lists import LISTED

W = "/v1/workspaces/{workspace_id}"

FOREIGN: dict[str, Foreign] = {
    "auth.api_keys.repository.page": Foreign(asked.of(factories.auth.api_key)),
    "auth.api_keys.repository.get": Foreign(asked.of(factories.auth.api_key, "key_id")),
    "auth.api_keys.repository.count_alive": Foreign(asked.of(factories.auth.api_key)),
    "auth.api_keys.repository.revoke": Foreign(asked.of(factories.auth.api_key, "key_id", reason="tried")),
    "auth.api_keys.repository.revoke_made_by": Foreign(asked.of(factories.auth.api_key)),
    "auth.api_keys.repository.revoke_all": Foreign(asked.of(factories.auth.api_key)),
    "auth.api_keys.repository.touch": Foreign(
        asked.of(factories.auth.api_key, "key_id", older_than=asked.NOW)
    ),
    "auth.audit_log.repository.page": Foreign(asked.of(LISTED[f"GET {W}/audit"], action=None, target=None)),
    "auth.authority.repository.role_of": Foreign(asked.of(factories.auth.member)),
    "auth.deletion.repository.get": Foreign(asked.ending),
    "auth.deletion.repository.requested_by": Foreign(asked.ending),
    "auth.deletion.repository.lock": Foreign(asked.ending),
    "auth.deliverability.repository.in_workspace": Foreign(asked.suppressed),
    "auth.invitations.repository.page": Foreign(asked.invitation),
    "auth.invitations.repository.open_for": Foreign(asked.invitation),
    "auth.invitations.repository.is_member": Foreign(asked.owner),
    "auth.invitations.repository.count_open": Foreign(asked.invitation),
    "auth.invitations.repository.lock": Foreign(asked.invitation),
    "auth.invitations.repository.accept": Foreign(asked.invitation),
    "auth.invitations.repository.revoke": Foreign(asked.invitation),
    "auth.invitations.repository.revoke_all": Foreign(asked.invitation),
    "auth.invitations.repository.revoke_made_by": Foreign(asked.invitation),
    "auth.notifications.repository.members_with_role": Foreign(asked.only_theirs),
    "auth.notifications.repository.is_member": Foreign(asked.owner),
    "auth.notifications.repository.workspace_name": Foreign(asked.only_theirs),
    "auth.preferences.repository.muted": Foreign(asked.muted),
    "auth.preferences.repository.unmute": Foreign(asked.muted),
    "auth.preferences.repository.lock_member": Foreign(asked.owner),
    "auth.threats.repository.page": Foreign(asked.of(LISTED[f"GET {W}/threats"], kind=None)),
    "auth.threats.repository.workspace_exists": Foreign(asked.only_theirs),
    "auth.webhooks.repository.page": Foreign(asked.of(factories.auth.webhook)),
    "auth.webhooks.repository.get": Foreign(asked.of(factories.auth.webhook, "webhook_id")),
    "auth.webhooks.repository.lock": Foreign(asked.of(factories.auth.webhook, "webhook_id")),
    "auth.webhooks.repository.count": Foreign(asked.of(factories.auth.webhook)),
    "auth.webhooks.repository.remove_all": Foreign(asked.of(factories.auth.webhook)),
    "auth.webhooks.repository.delivery": Foreign(asked.of(factories.auth.webhook_delivery, "delivery_id")),
    "auth.webhooks.repository.wanting": Foreign(asked.of(factories.auth.webhook, event="server.ready")),
    "auth.workspaces.repository.lock_workspace": Foreign(asked.only_theirs),
    "auth.workspaces.repository.workspace": Foreign(asked.only_theirs),
    "auth.workspaces.repository.members": Foreign(asked.only_theirs),
    "auth.workspaces.repository.all_members": Foreign(asked.only_theirs),
    "auth.workspaces.repository.member_of_account": Foreign(asked.owner),
    "auth.workspaces.repository.member_and_account": Foreign(asked.of(factories.auth.member, "member_id")),
    "auth.workspaces.repository.maker_of_key": Foreign(asked.of(factories.auth.api_key, "key_id")),
    "auth.workspaces.repository.count_owners": Foreign(asked.only_theirs),
    "vault.admin.state_of": Foreign(
        asked.keys_and_secrets, lambda found: not found["secrets"] and not found["data_keys"]
    ),
    "vault.audited.AuditedAccess.check": Foreign(
        asked.covered, lambda found: isinstance(found, PermissionError)
    ),
    "vault.credential_reads.repository.page": Foreign(
        asked.of(LISTED[f"GET {W}/credential-reads"], since=None, actor_id=None)
    ),
    "vault.read_limits.repository.free_at": Foreign(
        asked.reads, lambda found: isinstance(found, AssertionError)
    ),
    "vault.rotation.repository.batch": Foreign(asked.sealed),
    "vault.rotation.repository.is_used": Foreign(asked.sealed),
    "vault.rotation.repository.old_versions": Foreign(asked.data_key("decrypt_only")),
    "vault.rotation.repository.reserve": Foreign(asked.data_key("active")),
    "vault.rotation.repository.mark_unused": Foreign(asked.data_key("decrypt_only")),
    "vault.rotation.repository.destroy": Foreign(asked.data_key("decrypt_only")),
    "vault.rotation.repository.under_other_root_keys": Foreign(asked.data_key("active")),
    "vault.rotation.repository.rehang": Foreign(asked.data_key("active")),
    "vault.data_keys.cache.DataKeyCache.purge": Foreign(asked.cached),
    "vault.data_keys.repository.active": Foreign(asked.data_key("active")),
    "vault.data_keys.repository.version": Foreign(asked.data_key("active")),
    "vault.data_keys.repository.latest_version": Foreign(asked.data_key("active")),
    "vault.data_keys.repository.retire": Foreign(asked.data_key("active")),
    "vault.data_keys.repository.count_encryption": Foreign(asked.data_key("active")),
    "vault.data_keys.repository.shred": Foreign(asked.data_key("active")),
    "provisioner.adoption.rows._zone": Foreign(asked.proven_name),
    "provisioner.billing.grant.take_in": Foreign(asked.paid, lambda found: found == "unknown_subscription"),
    "provisioner.billing.grant.expire": Foreign(
        asked.expired_page, lambda found: found == "unknown_subscription"
    ),
    "provisioner.billing.invoices.page": Foreign(
        asked.of(factories.provisioner.invoice, request=PageRequest(10, None, "")),
        lambda found: not found.items,
    ),
    "provisioner.domains.repository.page": Foreign(asked.of(factories.provisioner.domain)),
    "provisioner.mailboxes.repository.page": Foreign(asked.of(factories.provisioner.mailbox)),
    "provisioner.servers.repository.page": Foreign(asked.of(factories.provisioner.server)),
    "provisioner.subscriptions.repository.page": Foreign(asked.of(factories.provisioner.subscription)),
    "provisioner.subscriptions.repository.customer": Foreign(asked.of(factories.provisioner.subscription)),
    "provisioner.workspaces.emptied.announce_if_empty": Foreign(asked.leaving),
    "dns.servers.repository.zones_of": Foreign(asked.of(factories.dns.zone)),
    "dns.servers.repository.open_intents": Foreign(asked.writing),
    "dns.servers.repository.wake_zones": Foreign(asked.of(factories.dns.zone)),
    "dns.servers.repository.wake_namesets": Foreign(asked.of(factories.dns.named_server)),
    "dns.workspaces.repository.locked": Foreign(asked.row("dns", "workspace_deletion")),
    "dns.workspaces.repository.is_empty": Foreign(asked.names_and_records, bool),
    "dns.workspaces.repository.present_zones": Foreign(asked.of(factories.dns.zone)),
    "dns.zones.repository.page": Foreign(asked.of(factories.dns.zone)),
    "dns.zones.repository.by_name": Foreign(asked.named_zone),
    "dns.zones.repository.workspace_zones": Foreign(asked.of(factories.dns.zone)),
    "dns.zones.repository.workspace_namesets": Foreign(asked.of(factories.dns.named_server)),
    "reputation.checks.repository.Repository.has_ended": Foreign(asked.ended_server),
}
"""Service, module and function → what it is asked about."""

OWN: dict[str, Own] = {
    "auth.notifications.linked.of_invitation": Own(asked.letter, asked.letter),
    "auth.workspaces.repository.of_account": Own(asked.as_from_the_start, asked.as_from_the_start),
    "provisioner.workspaces.emptied.announce_if_empty": Own(
        asked.leaving, asked.of(factories.provisioner.server)
    ),
    "vault.rotation.repository.destroy": Own(asked.data_key("decrypt_only"), asked.sealed),
}
