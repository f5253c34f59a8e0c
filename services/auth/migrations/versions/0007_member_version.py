"""Members count how often their role was changed, so that two people do not change it over each other.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("member", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
