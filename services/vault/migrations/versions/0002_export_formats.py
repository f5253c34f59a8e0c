"""Formats of exports are data files now, and mailboxes have the names that go into them.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_export_format"), "export", type_="check")
    op.add_column("mailbox", sa.Column("display_name", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
