"""Refunds, and subscriptions that are not charged while their server cannot be made.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SERVICE = "provisioner"
moment = sa.DateTime(timezone=True)
now = sa.text("now()")


def upgrade() -> None:
    op.add_column("subscription", sa.Column("collection_held_at", moment))
    op.create_table(
        "refund",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Text, sa.ForeignKey("subscription.id"), nullable=False, unique=True),
        sa.Column("stripe_subscription_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'requested'")),
        sa.Column("amount", sa.Integer),
        sa.Column("currency", sa.Text),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("requested_at", moment, nullable=False, server_default=now),
        sa.Column("next_at", moment, nullable=False, server_default=now),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("done_at", moment),
        sa.CheckConstraint("state in ('requested', 'done')", name="state"),
    )
    op.create_index("ix_refund_workspace_id", "refund", ["workspace_id"])
    op.create_index("ix_refund_due", "refund", ["next_at"], postgresql_where=sa.text("state = 'requested'"))
    rls.protect(op, "refund", service=SERVICE)
    rls.grant(op, "refund", rls.app_role(SERVICE), ("select", "insert"))
