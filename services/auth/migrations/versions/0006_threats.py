"""Threats that a workspace can see.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from shared.db import rls

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
APP, WORKER = "auth_app", "auth_worker"


def upgrade() -> None:
    op.create_table(
        "threat",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("route", sa.Text),
        sa.Column("signatures", ARRAY(sa.Text), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("first_at", moment, nullable=False),
        sa.Column("last_at", moment, nullable=False),
    )
    op.create_index("ix_threat_page", "threat", ["workspace_id", "last_at", "id"])
    op.create_index("ix_threat_last_at", "threat", ["last_at"])
    rls.protect(op, "threat", service="auth")
    rls.grant(op, "threat", APP, "select")
    rls.grant(op, "threat", WORKER, ("select", "insert", "delete"))
