"""What the cloud offers where, how much of our quotas is used, and where a server is moving to before it exists.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
APP, WORKER = rls.app_role("provisioner"), rls.worker_role("provisioner")


def upgrade() -> None:
    op.add_column("server", sa.Column("moving_to", sa.Text))
    op.create_table(
        "zone_offer",
        sa.Column("zone", sa.Text, primary_key=True),
        sa.Column("commercial_type", sa.Text, primary_key=True),
        sa.Column("availability", sa.Text, nullable=False),
        sa.Column("monthly_cents", sa.Integer),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
        sa.CheckConstraint(
            "availability in ('available', 'scarce', 'shortage')", name="ck_zone_offer_availability"
        ),
    )
    op.create_table(
        "cloud_limit",
        sa.Column("resource", sa.Text, primary_key=True),
        sa.Column("quota", sa.Integer),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
    )
    # Of the cloud, and of nobody: every workspace may read them.
    for table in ("zone_offer", "cloud_limit"):
        rls.grant(op, table, APP, "select")
        rls.grant(op, table, WORKER, rls.ALL_PRIVILEGES)


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
