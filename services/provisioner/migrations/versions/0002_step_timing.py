"""How long the steps of finished jobs took, and which image a server was made from.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
APP, WORKER = rls.app_role("provisioner"), rls.worker_role("provisioner")


def upgrade() -> None:
    op.add_column("server", sa.Column("image", sa.Text))
    op.create_table(
        "step_timing",
        sa.Column("job_kind", sa.Text, primary_key=True),
        sa.Column("image", sa.Text, primary_key=True),
        sa.Column("step", sa.Text, primary_key=True),
        sa.Column("samples", sa.Integer, nullable=False),
        sa.Column("median_seconds", sa.Double, nullable=False),
        sa.Column("p90_seconds", sa.Double, nullable=False),
        sa.Column("left_median_seconds", sa.Double, nullable=False),
        sa.Column("left_p90_seconds", sa.Double, nullable=False),
        sa.Column("last_at", moment, nullable=False),
    )
    # Figures of the whole fleet, of nobody in particular: every workspace may read them.
    rls.grant(op, "step_timing", APP, "select")
    rls.grant(op, "step_timing", WORKER, rls.ALL_PRIVILEGES)


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
