"""A factory for each path parameter of each service: fresh, real things of a customer.

A parameter without a factory fails the test, so whoever adds a route with a new kind of id adds a line here.
"""

from __future__ import annotations

from tests.isolation.factories import auth, dns, provisioner, reputation, vault
from tests.isolation.world import Factory

FACTORIES: dict[tuple[str, str], Factory] = {
    ("auth", "member_id"): auth.member,
    ("auth", "invitation_id"): auth.invitation,
    ("auth", "key_id"): auth.api_key,
    ("auth", "session_id"): auth.session,
    ("auth", "ended_workspace_id"): auth.ended_workspace,
    ("auth", "suppression_id"): auth.suppression,
    ("auth", "webhook_id"): auth.webhook,
    ("auth", "delivery_id"): auth.webhook_delivery,
    ("vault", "mailbox_id"): vault.secret_mailbox,
    ("vault", "export_id"): vault.export,
    ("vault", "app_password_id"): vault.app_password,
    ("vault", "rotation_id"): vault.rotation,
    ("provisioner", "subscription_id"): provisioner.subscription,
    ("provisioner", "server_id"): provisioner.server,
    ("provisioner", "job_id"): provisioner.job,
    ("provisioner", "domain_id"): provisioner.domain,
    ("provisioner", "mailbox_id"): provisioner.mailbox,
    ("dns", "zone_id"): dns.zone,
    ("dns", "server_id"): dns.named_server,
    ("reputation", "server_id"): reputation.watched_server,
}
PREFIXES = {
    "session_id": "ses",
    "workspace_id": "ws", "ended_workspace_id": "ws", "member_id": "mem", "invitation_id": "inv", "key_id": "key",
    "mailbox_id": "mbx", "export_id": "exp", "subscription_id": "sub", "server_id": "srv", "job_id": "job",
    "domain_id": "dom", "zone_id": "zon", "provider_token_id": "ptk", "plan_id": "pln", "token_id": "ptk",
    "suppression_id": "spr", "app_password_id": "apw", "rotation_id": "rot", "webhook_id": "whk", "delivery_id": "whd",
}  # fmt: skip
