"""Whose API key opened webmail, so that it ends when he may not any more.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webmail_sign_in", sa.Column("maker", sa.Text))


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
