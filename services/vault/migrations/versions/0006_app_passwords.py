"""Passwords of mailboxes are changed, and there are others beside them.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
zero = sa.text("0")


def upgrade() -> None:
    op.add_column(
        "mailbox", sa.Column("credentials_version", sa.Integer, nullable=False, server_default=zero)
    )
    op.add_column("mailbox", sa.Column("password_due", sa.Integer, nullable=False, server_default=zero))
    op.execute(
        "update mailbox set credentials_version = made.version from "
        "(select owner_id, max(version) as version from secret where owner_kind = 'mailbox' group by 1) as made "
        "where made.owner_id = mailbox.id"
    )
    op.add_column(
        "export", sa.Column("main_password", sa.Boolean, nullable=False, server_default=sa.text("true"))
    )
    op.drop_index("uq_secret_current", "secret")
    op.create_index(
        "uq_secret_current",
        "secret",
        ["owner_kind", "owner_id", "field"],
        unique=True,
        postgresql_where=sa.text("state = 'current' and field <> 'app_password'"),
    )
    _app_passwords()
    _rotations()
    for table in ("app_password", "credential_rotation", "rotated_mailbox"):
        rls.protect(op, table, service="vault")


def _app_passwords() -> None:
    op.create_table(
        "app_password",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("mailbox_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tool", sa.Text),
        sa.Column("selector", sa.Text),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("last_used_at", moment),
        sa.Column("revoked_version", sa.Integer),
        sa.Column("revoked_at", moment),
        sa.Column("ended_at", moment),
        sa.UniqueConstraint("mailbox_id", "version"),
    )
    op.create_index(
        "uq_app_password_tool",
        "app_password",
        ["mailbox_id", "tool"],
        unique=True,
        postgresql_where=sa.text("tool is not null and revoked_version is null"),
    )


def _rotations() -> None:
    op.create_table(
        "credential_rotation",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("since", moment),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
    )
    op.create_table(
        "rotated_mailbox",
        sa.Column(
            "rotation_id",
            sa.Text,
            sa.ForeignKey("credential_rotation.id", ondelete="cascade"),
            primary_key=True,
        ),
        sa.Column("mailbox_id", sa.Text, primary_key=True, index=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("applied_at", moment),
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
