"""Webhooks.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from shared.db import rls

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, sa.ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", ARRAY(sa.Text), nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("secret_sealed", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret_sealed", sa.LargeBinary),
        sa.Column("previous_secret_until", moment),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("last_success_at", moment),
        sa.Column("leased_until", moment),
        sa.CheckConstraint("disabled_reason in ('by_hand','gone','exhausted')", name="disabled_reason"),
        sa.CheckConstraint("enabled = (disabled_reason is null)", name="enabled"),
    )
    op.create_index("ix_webhook_workspace_id", "webhook", ["workspace_id"])
    rls.protect(op, "webhook", service="auth")

    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("webhook_id", sa.Text, sa.ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts_before", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("queued_at", moment, nullable=False),
        sa.Column("last_attempt_at", moment),
        sa.Column("next_attempt_at", moment),
        sa.Column("response_status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.UniqueConstraint("webhook_id", "event_id"),
        sa.CheckConstraint("state in ('pending','delivered','failed')", name="state"),
    )
    op.create_index("ix_webhook_delivery_page", "webhook_delivery", ["webhook_id", "id"])
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["next_attempt_at", "webhook_id"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_webhook_delivery_created_at", "webhook_delivery", ["created_at"])
    rls.protect(op, "webhook_delivery", service="auth")
    # People see deliveries and have them sent again; only the worker makes them.
    rls.grant(op, "webhook_delivery", "auth_app", ("select", "update"))
