"""The vault's tables, each behind row-level security.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

from shared.db import kit_tables, rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
now = sa.text("now()")


def upgrade() -> None:
    kit_tables.create(op, "vault")
    _keys()
    _owners()
    _secrets()
    _exports()
    for table in ("server", "mailbox", "secret", "provider_token", "export", "decrypt_count"):
        rls.protect(op, table, service="vault")
    for table in ("data_key", "shredded_scope"):
        rls.protect(op, table, service="vault", workspace_column="scope")
    # Only the worker ends things: the API can neither undo a shredding nor remove a key.
    rls.grant(op, "data_key", "vault_app", ("select", "insert", "update"))
    rls.grant(op, "shredded_scope", "vault_app", "select")
    rls.grant(op, "decrypt_count", "vault_app", ("select", "insert", "update"))


def _keys() -> None:
    op.create_table(
        "data_key",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary),
        sa.Column("root_key_id", sa.Text, nullable=False),
        sa.Column("check_value", sa.LargeBinary, nullable=False),
        sa.Column("encryptions", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("shredded_at", moment),
        sa.CheckConstraint("state in ('active', 'decrypt_only', 'shredded')", name="state"),
        sa.CheckConstraint("(state = 'shredded') = (wrapped is null)", name="shredded_has_no_key"),
    )
    op.create_index(
        "uq_data_key_active", "data_key", ["scope"], unique=True, postgresql_where=sa.text("state = 'active'")
    )
    op.create_table(
        "shredded_scope",
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("at", moment, nullable=False),
    )


def _owners() -> None:
    op.create_table(
        "server",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("hostname", sa.Text),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("deleted_at", moment),
    )
    op.create_table(
        "mailbox",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("server_id", sa.Text, nullable=False, index=True),
        sa.Column("address", sa.Text),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("deleted_at", moment),
    )
    op.create_table(
        "provider_token",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
    )


def _secrets() -> None:
    op.create_table(
        "secret",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, index=True),
        sa.Column("owner_kind", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("data_key_version", sa.Integer, nullable=False),
        sa.Column("wrap_nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        sa.Column("verifier", sa.Text),
        sa.Column("created_at", moment, nullable=False, server_default=now),
        sa.Column("applied_at", moment),
        sa.CheckConstraint("state in ('pending', 'current')", name="state"),
        sa.CheckConstraint("owner_kind in ('mailbox', 'server', 'provider_token')", name="owner_kind"),
        sa.UniqueConstraint("workspace_id", "owner_kind", "owner_id", "field", "version"),
        sa.UniqueConstraint("workspace_id", "data_key_version", "wrap_nonce"),
    )
    op.create_index(
        "uq_secret_current",
        "secret",
        ["owner_kind", "owner_id", "field"],
        unique=True,
        postgresql_where=sa.text("state = 'current'"),
    )


def _exports() -> None:
    op.create_table(
        "export",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("mailbox_ids", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("redeemed_at", moment),
        sa.Column("redeemed_by", sa.Text),
        sa.CheckConstraint("format in ('csv', 'json')", name="format"),
    )
    op.create_table(
        "decrypt_count",
        sa.Column("workspace_id", sa.Text, primary_key=True),
        sa.Column("purpose", sa.Text, primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("last_at", moment, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
