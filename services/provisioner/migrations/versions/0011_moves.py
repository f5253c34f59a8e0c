"""Which server a domain comes from while it moves.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("domain", sa.Column("moving_from", sa.Text))
    op.create_index(
        "ix_domain_moving_from",
        "domain",
        ["moving_from"],
        postgresql_where=sa.text("moving_from is not null"),
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
