"""Looks at Stripe are numbered.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create sequence stripe_look")
    op.execute(f"grant usage on sequence stripe_look to {rls.worker_role('provisioner')}")
    op.add_column(
        "subscription",
        sa.Column("stripe_look", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
