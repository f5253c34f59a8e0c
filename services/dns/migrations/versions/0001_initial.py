"""The tables of dns, each behind row-level security.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import kit_tables, rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def text(name: str, null: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=null, **options)


def at(name: str, null: bool = False, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, moment, nullable=null, **options)


def number(name: str, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(
        name, sa.BigInteger, nullable=False, server_default=sa.text(default) if default else None
    )


def flag(name: str, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text(default) if default else None)


def json(name: str) -> sa.Column[Any]:
    return sa.Column(name, JSONB, nullable=False)


def upgrade() -> None:
    kit_tables.create(op, "dns")
    _zones()
    _namesets()
    _records()
    _plans()
    tables = (
        "zone", "zone_proof", "nameset", "record_state", "owned_record", "write_intent", "record_plan",
        "workspace_deletion",
    )  # fmt: skip
    for table in tables:
        rls.protect(op, table, service="dns")
    # What is true in DNS, and what is ours there, only the worker knows; the API shows it.
    for table in ("zone_proof", "nameset", "record_state", "owned_record", "workspace_deletion"):
        rls.grant(op, table, "dns_app", "select")
    rls.grant(op, "write_intent", "dns_app", ())
    # Nor can the API prove a zone or make a plan: it may register one, wake the worker, and approve.
    rls.grant(op, "zone", "dns_app", ("select", "insert", "update (due_at)"))
    _restrict("zone", "insert", "state = 'proving' and proven_at is null")
    rls.grant(op, "record_plan", "dns_app", ("select", "update (state, accepted, approved_by)"))
    _restrict("record_plan", "update", "state = 'approved'")


def _restrict(table: str, command: str, check: str) -> None:
    """A second condition on what the app role writes, beside that of its workspace."""
    op.execute(
        f"create policy {table}_app_{command} on {table} as restrictive for {command} to dns_app with check ({check})"
    )


def _zones() -> None:
    op.create_table(
        "zone",
        text("id", primary_key=True), text("workspace_id", index=True), text("name"), text("method"),
        text("provider_token_id", True), text("provider_zone_id", True), text("challenge"), text("state"),
        text("detail", True), sa.Column("dnssec", sa.Boolean), json("name_servers"), number("version", "1"),
        at("created_at"), at("proven_at", True), at("due_at"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        at("lease_until", True), number("fence", "0"),
        sa.CheckConstraint("state in ('proving', 'proven', 'failed', 'removed')", name="state"),
        sa.CheckConstraint("method in ('token', 'txt')", name="method"),
    )  # fmt: skip
    proven, present = sa.text("state = 'proven'"), sa.text("state <> 'removed'")
    op.create_index("uq_zone_proven", "zone", ["name"], unique=True, postgresql_where=proven)
    op.create_index(
        "uq_zone_in_workspace", "zone", ["workspace_id", "name"], unique=True, postgresql_where=present
    )
    op.create_index("ix_zone_due", "zone", ["due_at"], postgresql_where=present)
    op.create_table(
        "zone_proof",
        text("id", primary_key=True), text("workspace_id", index=True), text("zone_id", index=True),
        text("method"), text("outcome"), text("detail"), json("evidence"), at("checked_at"),
    )  # fmt: skip


def _namesets() -> None:
    op.create_table(
        "nameset",
        text("server_id", primary_key=True), text("workspace_id", index=True), number("generation"),
        number("aggregate_version"), text("hostname"), flag("withdrawn"), json("desired"),
        number("written_generation", "0"), text("problem", True), flag("forward", "false"), flag("reverse", "false"),
        flag("gone", "false"), json("emitted"), number("version", "0"), at("pending_since"), at("healed_at", True),
        at("due_at"), at("lease_until", True), number("fence", "0"),
    )  # fmt: skip
    there = sa.text("not gone")
    op.create_index("uq_nameset_hostname", "nameset", ["hostname"], unique=True, postgresql_where=there)
    op.create_index("ix_nameset_due", "nameset", ["due_at"], postgresql_where=there)
    op.create_table(
        "record_state",
        text("server_id", primary_key=True), text("name", primary_key=True), text("type", primary_key=True),
        text("workspace_id", index=True), text("zone_id", True, index=True), text("domain_id", True),
        json("expected"), json("purposes"), flag("required"), text("state"), flag("dnssec"), text("detail"),
        json("observed"), at("checked_at"), at("verified_at", True),
    )  # fmt: skip


def _records() -> None:
    op.create_table(
        "owned_record",
        text("id", primary_key=True), text("workspace_id", index=True), text("zone_id", index=True),
        text("provider_zone_id"), text("provider_record_id"), text("server_id", index=True), text("domain_id", True),
        text("purpose"), text("name"), text("type"), text("value"), text("comment"), flag("merged"),
        at("written_at"), at("missing_since", True),
        sa.UniqueConstraint("provider_zone_id", "provider_record_id", "server_id"),
    )  # fmt: skip
    op.create_table(
        "write_intent",
        text("id", primary_key=True), text("workspace_id", index=True), text("zone_id", index=True),
        text("server_id", True, index=True), text("plan_id", True), text("provider_zone_id"), text("nonce"),
        json("records"), at("created_at"),
    )  # fmt: skip


def _plans() -> None:
    op.create_table(
        "record_plan",
        text("id", primary_key=True), text("workspace_id", index=True), text("zone_id", index=True), text("state"),
        text("fingerprint"), json("content"), json("accepted"),
        text("approved_by", True), text("detail", True), at("computed_at"), at("expires_at"), at("applied_at", True),
        sa.CheckConstraint(
            "state in ('ready', 'approved', 'applied', 'failed', 'stale', 'superseded')", name="state"
        ),
    )  # fmt: skip
    ready, approved = sa.text("state = 'ready'"), sa.text("state = 'approved'")
    op.create_index("uq_record_plan_open", "record_plan", ["zone_id"], unique=True, postgresql_where=ready)
    op.create_index("ix_record_plan_approved", "record_plan", ["zone_id"], postgresql_where=approved)
    op.create_table(
        "workspace_deletion",
        text("workspace_id", primary_key=True), at("requested_at"), at("emptied_at", True),
    )  # fmt: skip


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
