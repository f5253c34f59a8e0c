"""What a rotation needs to know of a data key: wraps taken over, and since when nothing uses it.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "data_key", sa.Column("rewraps", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    op.add_column("data_key", sa.Column("unused_since", sa.DateTime(timezone=True)))
    op.drop_constraint("state", "data_key", type_="check")
    op.drop_constraint("shredded_has_no_key", "data_key", type_="check")
    op.create_check_constraint(
        "state", "data_key", "state in ('active', 'decrypt_only', 'retired', 'shredded')"
    )
    op.create_check_constraint(
        "ended_has_no_key", "data_key", "(state in ('retired', 'shredded')) = (wrapped is null)"
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
