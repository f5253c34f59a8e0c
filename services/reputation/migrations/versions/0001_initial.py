"""Addresses, checks, listings

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import kit_tables
from shared.db.rls import protect

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERVICE = "reputation"


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    kit_tables.create(op, SERVICE)
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "address",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("family", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, server_default=sa.text("0"), nullable=False),
        sa.Column("rounds", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("next_check_at", moment),
        sa.Column("created_at", moment, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_address"),
        sa.CheckConstraint("state in ('candidate', 'live', 'released')", name="ck_address_state"),
        sa.CheckConstraint("family in (4, 6)", name="ck_address_family"),
    )
    op.create_index(
        "ix_address_due", "address", ["next_check_at"], postgresql_where=sa.text("next_check_at is not null")
    )
    op.create_index("ix_address_server", "address", ["workspace_id", "server_id"])
    op.create_table(
        "address_check",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("address_id", sa.Text, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("results", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_address_check"),
        sa.ForeignKeyConstraint(
            ["address_id"], ["address.id"], name="fk_address_check_address_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_address_check_latest", "address_check", ["address_id", "at"])
    op.create_table(
        "listing",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("address_id", sa.Text, nullable=False),
        sa.Column("blacklist", sa.Text, nullable=False),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("codes", JSONB, nullable=False),
        sa.Column("meaning", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("delist_url", sa.Text, nullable=False),
        sa.Column("first_seen", moment, nullable=False),
        sa.Column("last_seen", moment, nullable=False),
        sa.Column("confirmed_at", moment),
        sa.Column("clean_rounds", sa.Integer, server_default=sa.text("0"), nullable=False),
        sa.Column("cleared_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_listing"),
        sa.ForeignKeyConstraint(
            ["address_id"], ["address.id"], name="fk_listing_address_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint(
            "address_id", "blacklist", "first_seen", name="uq_listing_address_id_blacklist_first_seen"
        ),
    )
    op.create_index("ix_listing_address_id", "listing", ["address_id"])
    op.create_table(
        "ended_server",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("at", moment, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ended_server"),
    )
    op.create_index("ix_ended_server_workspace_id", "ended_server", ["workspace_id"])
    for table in ("address", "address_check", "listing", "ended_server"):
        protect(op, table, service=SERVICE)
