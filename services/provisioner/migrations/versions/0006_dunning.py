"""The ladder that follows a payment that is owed.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name, kind in (
        ("dunning", sa.Text),
        ("dunning_at", moment),
        ("announced", sa.Text),
        ("announced_at", moment),
    ):
        op.add_column("subscription", sa.Column(name, kind))
    op.create_check_constraint(
        "dunning",
        "subscription",
        "dunning in ('past_due', 'outbound_paused', 'read_only', 'destroyed')",
    )
    op.add_column(
        "server",
        sa.Column("mail_service", sa.Text, nullable=False, server_default=sa.text("'full'")),
    )
    op.create_check_constraint(
        "mail_service", "server", "mail_service in ('full', 'outbound_paused', 'read_only')"
    )
