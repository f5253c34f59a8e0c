"""The provisioner's tables. Each one of a workspace is behind row-level security.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import kit_tables, rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERVICE = "provisioner"
APP = rls.app_role(SERVICE)
WORKER = rls.worker_role(SERVICE)
READ = "select"
WRITE = ("select", "insert", "update")
moment = sa.DateTime(timezone=True)
now = sa.text("now()")


def upgrade() -> None:
    kit_tables.create(op, SERVICE)
    _money()
    _servers()
    _progress()
    _mail()
    _rest()
    _protect()


def _protect() -> None:
    """The API asks; only the worker makes servers, observes, and writes what happened."""
    app: dict[str, str | tuple[str, ...]] = {
        "subscription": WRITE,
        "server": ("select", "update"),
        "cloud_resource": READ,
        "address": READ,
        "condition": READ,
        "step_log": READ,
        "job": ("select", "insert"),
        "domain": WRITE,
        "mailbox": WRITE,
        "mailbox_verifier": (),
        "proven_zone": READ,
        "workspace_deletion": READ,
    }
    for table, privileges in app.items():
        rls.protect(op, table, service=SERVICE)
        rls.grant(op, table, APP, privileges)
    # The log is only ever added to; rows go when their workspace has ended.
    rls.grant(op, "step_log", WORKER, ("select", "insert", "delete"))
    for table in ("stripe_event", "sweep_finding"):
        rls.grant(op, table, WORKER, rls.ALL_PRIVILEGES)
    rls.grant(op, "stripe_event", APP, ("select", "insert"))


def _money() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("checkout_session_id", sa.Text),
        sa.Column("checkout_url", sa.Text),
        sa.Column("stripe_customer_id", sa.Text),
        sa.Column("stripe_subscription_id", sa.Text),
        sa.Column("stripe_status", sa.Text),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("activated_at", moment),
        sa.Column("ended_at", moment),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.CheckConstraint("status in ('pending', 'active', 'past_due', 'ended', 'refused')", name="status"),
        sa.UniqueConstraint("checkout_session_id", name="uq_subscription_checkout_session_id"),
        sa.UniqueConstraint("stripe_subscription_id", name="uq_subscription_stripe_subscription_id"),
    )
    op.create_index("ix_subscription_workspace_id", "subscription", ["workspace_id"])


def _servers() -> None:
    op.create_table(
        "server",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column(
            "subscription_id",
            sa.Text,
            sa.ForeignKey("subscription.id", name="fk_server_subscription_id"),
            nullable=False,
        ),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("commercial_type", sa.Text),
        sa.Column("desired", sa.Text, nullable=False, server_default=sa.text("'present'")),
        sa.Column("generation", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("observed_generation", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("ever_ready", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("next_at", moment, nullable=False, server_default=now),
        sa.Column("lease_owner", sa.Text),
        sa.Column("lease_until", moment),
        sa.Column("fence", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("wakes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("seen_wakes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("host_key", sa.Text),
        sa.Column("host_key_own", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("install_run_id", sa.Text),
        sa.Column("bundle_version", sa.Text),
        sa.Column("webmail_key_version", sa.Integer),
        sa.Column("facts", JSONB),
        sa.Column("names_generation", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("names_digest", sa.Text),
        sa.Column("names_seen_generation", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("names_seen_version", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("names_forward", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("names_reverse", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("names_withdrawn", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("names_records", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("ready_at", moment),
        sa.Column("cancelled_at", moment),
        sa.Column("cancel_reason", sa.Text),
        sa.Column("deleted_at", moment),
        sa.CheckConstraint("desired in ('present', 'absent')", name="desired"),
        sa.UniqueConstraint("hostname", name="uq_server_hostname"),
        sa.UniqueConstraint("label", name="uq_server_label"),
        sa.UniqueConstraint("subscription_id", name="uq_server_subscription_id"),
    )
    op.create_index("ix_server_due", "server", ["next_at"], postgresql_where=sa.text("deleted_at is null"))
    op.create_index("ix_server_workspace_id", "server", ["workspace_id"])
    op.create_table(
        "cloud_resource",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column(
            "server_id",
            sa.Text,
            sa.ForeignKey("server.id", name="fk_cloud_resource_server_id"),
            nullable=False,
        ),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("request", JSONB, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text),
        sa.Column("details", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.Column("intent_at", moment, nullable=False),
        sa.Column("bound_at", moment),
        sa.Column("gone_at", moment),
        sa.CheckConstraint("kind in ('ip', 'security_group', 'instance', 'volume')", name="kind"),
        sa.CheckConstraint(
            "state in ('planned', 'intent', 'unknown', 'bound', 'gone', 'leaked')", name="state"
        ),
        sa.UniqueConstraint("kind", "external_id", name="uq_cloud_resource_kind_external_id"),
    )
    op.create_index("ix_cloud_resource_server_id", "cloud_resource", ["server_id"])
    op.create_index("ix_cloud_resource_workspace_id", "cloud_resource", ["workspace_id"])
    op.create_index(
        "uq_cloud_resource_slot",
        "cloud_resource",
        ["server_id", "kind", "slot"],
        unique=True,
        postgresql_where=sa.text("state not in ('gone', 'leaked')"),
    )
    op.create_table(
        "address",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column(
            "server_id", sa.Text, sa.ForeignKey("server.id", name="fk_address_server_id"), nullable=False
        ),
        sa.Column(
            "resource_id",
            sa.Text,
            sa.ForeignKey("cloud_resource.id", name="fk_address_resource_id"),
            nullable=False,
        ),
        sa.Column("family", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("ipam_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("listings", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("clean", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("unknown", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("reverse", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("checked_version", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("asked_at", moment, nullable=False, server_default=now),
        sa.Column("checked_at", moment),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("released_at", moment),
        sa.CheckConstraint("family in (4, 6)", name="family"),
        sa.CheckConstraint("state in ('checking', 'clean', 'live', 'burned', 'released')", name="state"),
        sa.UniqueConstraint("resource_id", name="uq_address_resource_id"),
        sa.UniqueConstraint("server_id", "family", "attempt", name="uq_address_server_id_family_attempt"),
    )
    op.create_index("ix_address_server_id", "address", ["server_id"])
    op.create_index("ix_address_workspace_id", "address", ["workspace_id"])


def _progress() -> None:
    op.create_table(
        "condition",
        sa.Column(
            "server_id", sa.Text, sa.ForeignKey("server.id", name="fk_condition_server_id"), primary_key=True
        ),
        sa.Column("type", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("observed_generation", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("last_transition_at", moment, nullable=False),
        sa.Column("since", moment, nullable=False),
        sa.Column("due_at", moment),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("evidence", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.CheckConstraint("status in ('true', 'false', 'unknown')", name="status"),
    )
    op.create_index("ix_condition_workspace_id", "condition", ["workspace_id"])
    op.create_table(
        "step_log",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column(
            "server_id", sa.Text, sa.ForeignKey("server.id", name="fk_step_log_server_id"), nullable=False
        ),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("fence", sa.BigInteger, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("error_class", sa.Text),
        sa.Column("message", sa.Text),
        sa.Column("next_action", sa.Text),
        sa.Column("evidence", JSONB, nullable=False, server_default=sa.text("'{}'::jsonb")),
        sa.CheckConstraint(
            "outcome in ('started', 'waiting', 'retrying', 'ok', 'failed', 'stalled')", name="outcome"
        ),
    )
    op.create_index("ix_step_log_server_id_id", "step_log", ["server_id", "id"])
    op.create_index("ix_step_log_workspace_id", "step_log", ["workspace_id"])
    op.create_table(
        "job",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, sa.ForeignKey("server.id", name="fk_job_server_id"), nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("after_log", sa.BigInteger, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False, server_default=now),
    )
    op.create_index("ix_job_server_id_id", "job", ["server_id", "id"])
    op.create_index("ix_job_workspace_id", "job", ["workspace_id"])


def _mail() -> None:
    op.create_table(
        "domain",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column(
            "server_id", sa.Text, sa.ForeignKey("server.id", name="fk_domain_server_id"), nullable=False
        ),
        sa.Column("zone_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("dkim_rsa_selector", sa.Text, nullable=False),
        sa.Column("dkim_ed25519_selector", sa.Text, nullable=False),
        sa.Column("dkim", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("dmarc_policy", sa.Text, nullable=False, server_default=sa.text("'reject'")),
        sa.Column("mta_sts_id", sa.Text, nullable=False),
        sa.Column("dns_verified", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("certified", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("ready_at", moment),
        sa.CheckConstraint(
            "state in ('pending', 'awaiting_dns', 'securing', 'ready', 'removing')", name="state"
        ),
        sa.UniqueConstraint("name", name="uq_domain_name"),
    )
    op.create_index("ix_domain_server_id", "domain", ["server_id"])
    op.create_index("ix_domain_workspace_id", "domain", ["workspace_id"])
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column(
            "server_id", sa.Text, sa.ForeignKey("server.id", name="fk_mailbox_server_id"), nullable=False
        ),
        sa.Column(
            "domain_id", sa.Text, sa.ForeignKey("domain.id", name="fk_mailbox_domain_id"), nullable=False
        ),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("local_part", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("credential_version", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("active_at", moment),
        sa.CheckConstraint("state in ('pending', 'active', 'removing')", name="state"),
        sa.UniqueConstraint("address", name="uq_mailbox_address"),
    )
    op.create_index("ix_mailbox_domain_id", "mailbox", ["domain_id"])
    op.create_index("ix_mailbox_server_id", "mailbox", ["server_id"])
    op.create_index("ix_mailbox_workspace_id", "mailbox", ["workspace_id"])
    op.create_table(
        "mailbox_verifier",
        sa.Column(
            "mailbox_id",
            sa.Text,
            sa.ForeignKey("mailbox.id", ondelete="cascade", name="fk_mailbox_verifier_mailbox_id"),
            primary_key=True,
        ),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("verifiers", JSONB, nullable=False),
        sa.Column("fetched_at", moment, nullable=False, server_default=now),
    )
    op.create_index("ix_mailbox_verifier_workspace_id", "mailbox_verifier", ["workspace_id"])
    op.create_table(
        "proven_zone",
        sa.Column("zone_id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("proven", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_proven_zone_name", "proven_zone", ["name"])
    op.create_index("ix_proven_zone_workspace_id", "proven_zone", ["workspace_id"])


def _rest() -> None:
    op.create_table(
        "stripe_event",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("received_at", moment, nullable=False, server_default=now),
        sa.Column("next_at", moment, nullable=False, server_default=now),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("processed_at", moment),
        sa.Column("outcome", sa.Text),
    )
    op.create_index(
        "ix_stripe_event_pending",
        "stripe_event",
        ["next_at"],
        postgresql_where=sa.text("processed_at is null"),
    )
    op.create_table(
        "sweep_finding",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("tags", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seen", sa.Integer, nullable=False),
        sa.Column("first_seen_at", moment, nullable=False, server_default=now),
        sa.Column("last_seen_at", moment, nullable=False, server_default=now),
        sa.Column("quarantined_at", moment),
        sa.Column("deleted_at", moment),
        sa.CheckConstraint("state in ('seen', 'quarantined', 'deleted', 'cleared')", name="state"),
        sa.UniqueConstraint("kind", "external_id", name="uq_sweep_finding_kind_external_id"),
    )
    op.create_table(
        "workspace_deletion",
        sa.Column("workspace_id", sa.Text, primary_key=True),
        sa.Column("requested_at", moment, nullable=False, server_default=now),
        sa.Column("emptied_at", moment),
        sa.Column("deleted_at", moment),
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
