"""Passwords of mailboxes change: which wish of a mailbox is fulfilled, and for which its verifiers were fetched.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

zero = sa.text("0")


def upgrade() -> None:
    op.add_column(
        "mailbox", sa.Column("applied_generation", sa.BigInteger, nullable=False, server_default=zero)
    )
    op.add_column("mailbox_verifier", sa.Column("version", sa.Integer, nullable=False, server_default=zero))
    op.add_column(
        "mailbox_verifier", sa.Column("generation", sa.BigInteger, nullable=False, server_default=zero)
    )
    op.execute("update mailbox set applied_generation = generation where state = 'active'")
    op.execute(
        "update mailbox_verifier set version = 1, generation = mailbox.generation "
        "from mailbox where mailbox.id = mailbox_verifier.mailbox_id"
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
