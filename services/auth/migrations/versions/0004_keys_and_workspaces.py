"""Keys that rotate and are bound to networks, invitations that are sent again.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("invitation", sa.Column("sends", sa.Integer, nullable=False, server_default="1"))
    op.add_column("invitation", sa.Column("sent_at", sa.DateTime(timezone=True)))
    op.add_column(
        "api_key", sa.Column("allowed_networks", ARRAY(sa.Text), nullable=False, server_default="{}")
    )
    op.add_column("api_key", sa.Column("rotated_from", sa.Text))
    op.add_column("api_key", sa.Column("replaced_by", sa.Text))
    op.add_column("api_key", sa.Column("revoke_reason", sa.Text))
