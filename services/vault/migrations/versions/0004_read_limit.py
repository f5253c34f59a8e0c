"""How many secrets each caller may still read.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "read_limit",
        sa.Column("workspace_id", sa.Text, primary_key=True),
        sa.Column("actor_id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("full_at", sa.DateTime(timezone=True), nullable=False),
    )
    rls.protect(op, "read_limit", service="vault")


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
