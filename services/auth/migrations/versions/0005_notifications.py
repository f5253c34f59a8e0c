"""Preferences and bounces.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
APP, WORKER = "auth_app", "auth_worker"


def upgrade() -> None:
    # `times` and `collapse_key`: several alerts about one subject become one mail. `delivery`: what became of it.
    op.add_column("notification", sa.Column("times", sa.Integer, nullable=False, server_default="1"))
    op.add_column("notification", sa.Column("collapse_key", sa.Text))
    op.add_column("notification", sa.Column("delivery", sa.Text))
    op.create_index(
        "uq_notification_waiting",
        "notification",
        ["collapse_key"],
        unique=True,
        postgresql_where=sa.text("state = 'pending' and attempts = 0"),
    )
    op.create_index("ix_notification_collapse_key", "notification", ["collapse_key", "created_at"])
    op.create_index("ix_notification_provider_id", "notification", ["provider_id"])
    op.execute(f"grant update (delivery) on notification to {APP}")

    op.create_table(
        "notification_mute",
        sa.Column(
            "workspace_id", sa.Text, sa.ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("account_id", sa.Text, sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("created_at", moment, nullable=False),
    )
    rls.protect(op, "notification_mute", service="auth")

    op.create_table(
        "mail_suppression",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False, server_default=""),
        sa.Column("since", moment, nullable=False),
        sa.Column("until", moment),
        sa.Column("lifted_at", moment),
        sa.CheckConstraint("reason in ('bounced','complained')", name="reason"),
    )
    # An address belongs to no workspace, as an account does not.
    rls.grant(op, "mail_suppression", APP, ("select", "insert", "update"))
    rls.grant(op, "mail_suppression", WORKER, rls.ALL_PRIVILEGES)
    # The provider's events come to the API, which remembers them so that none counts twice.
    rls.grant(op, "inbox", APP, ("select", "insert"))
