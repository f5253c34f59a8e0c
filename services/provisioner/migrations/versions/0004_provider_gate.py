"""The gate before each provider: a token bucket and a breaker that all workers share.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WORKER = rls.worker_role("provisioner")
moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "provider_gate",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("zone", sa.Text, primary_key=True),
        sa.Column("tokens", sa.Float, nullable=False),
        sa.Column("refilled_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("paused_until", moment),
        sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("open_until", moment),
    )
    rls.grant(op, "provider_gate", WORKER, rls.ALL_PRIVILEGES)


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
