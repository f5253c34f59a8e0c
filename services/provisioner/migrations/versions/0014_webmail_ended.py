"""Webmail sign-ins that hosts are to refuse.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "mailbox", sa.Column("webmail_version", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
    op.add_column(
        "mailbox", sa.Column("webmail_ended", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb"))
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
