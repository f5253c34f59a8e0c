"""Sessions, passwords and e-mail changes.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import rls

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
APP, WORKER = "auth_app", "auth_worker"


def upgrade() -> None:
    op.add_column("session", sa.Column("device", sa.Text, nullable=False, server_default=""))
    op.add_column("session", sa.Column("network", sa.Text, nullable=False, server_default=""))
    op.add_column("session", sa.Column("last_used_at", moment))
    op.add_column(
        "account", sa.Column("password_changed_at", moment, nullable=False, server_default=sa.func.now())
    )
    _links()
    _security_events()
    op.create_table(
        "sign_in_throttle",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("drained_at", moment, nullable=False),
    )
    for table in ("password_reset", "email_change", "sign_in_throttle"):
        rls.protect(op, table, service="auth", workspace_column=None)


def _links() -> None:
    op.create_table(
        "password_reset",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("used_at", moment),
    )
    op.create_index("ix_password_reset_email", "password_reset", ["email", "created_at"])
    op.create_index(
        "uq_password_reset_open",
        "password_reset",
        ["email"],
        unique=True,
        postgresql_where=sa.text("used_at is null"),
    )
    op.create_table(
        "email_change",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "account_id", sa.Text, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("old_email", sa.Text, nullable=False),
        sa.Column("new_email", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("confirmed_at", moment),
        sa.Column("undo_expires_at", moment),
        sa.Column("closed_at", moment),
    )


def _security_events() -> None:
    op.create_table(
        "security_event",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("data", JSONB, nullable=False, server_default="{}"),
    )
    op.create_index("ix_security_event_page", "security_event", ["account_id", "id"])
    rls.protect(op, "security_event", service="auth", workspace_column=None, account_column="account_id")
    # Written once, never changed: the API adds and reads, the worker also forgets the old ones.
    rls.grant(op, "security_event", APP, ("select", "insert"))
    rls.grant(op, "security_event", WORKER, ("select", "insert", "delete"))
