"""Who opened which webmail, so that it can be ended before its time.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
zero = sa.text("0")


def upgrade() -> None:
    op.add_column("mailbox", sa.Column("webmail_version", sa.Integer, nullable=False, server_default=zero))
    op.create_table(
        "webmail_sign_in",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("mailbox_id", sa.Text, nullable=False, index=True),
        sa.Column("opened_by", sa.Text, nullable=False),
        sa.Column("issued_at", moment, nullable=False),
        sa.Column("ended_at", moment),
    )
    op.create_table(
        "webmail_opener",
        sa.Column("workspace_id", sa.Text, primary_key=True),
        sa.Column("actor_id", sa.Text, primary_key=True),
        sa.Column("may_open", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("sequence", sa.BigInteger, nullable=False, server_default=zero),
    )
    for table in ("webmail_sign_in", "webmail_opener"):
        rls.protect(op, table, service="vault")


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
