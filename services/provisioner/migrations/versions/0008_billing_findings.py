"""What the nightly comparison with Stripe finds.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.db import rls

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SERVICE = "provisioner"
moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """For operators: the API's role sees neither."""
    op.create_table(
        "billing_finding",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text),
        sa.Column("details", JSONB, nullable=False),
        sa.Column("first_seen_at", moment, nullable=False),
        sa.Column("last_seen_at", moment, nullable=False),
        sa.Column("cleared_at", moment),
    )
    rls.protect(op, "billing_finding", service=SERVICE)
    rls.grant(op, "billing_finding", rls.app_role(SERVICE), ())
    op.create_table(
        "billing_comparison",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("finished_at", moment),
        sa.Column("compared", sa.Integer),
        sa.Column("findings", sa.Integer),
    )
    op.create_index("ix_billing_comparison_started_at", "billing_comparison", ["started_at"])
    rls.grant(op, "billing_comparison", rls.worker_role(SERVICE), rls.ALL_PRIVILEGES)
