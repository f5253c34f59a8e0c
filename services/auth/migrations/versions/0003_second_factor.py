"""A second factor for sign-in.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from shared.db import rls

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
WORKER = "auth_worker"


def upgrade() -> None:
    op.add_column(
        "session", sa.Column("methods", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{pwd}'"))
    )
    op.create_table(
        "second_factor",
        _account_id(),
        sa.Column("key_sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("confirmed_at", moment),
        sa.Column("last_step", sa.BigInteger, nullable=False, server_default="0"),
    )
    op.create_table(
        "recovery_code",
        _account_id(),
        sa.Column("handle", sa.Text, primary_key=True),
        sa.Column("code_hash", sa.Text, nullable=False),
        sa.Column("used_at", moment),
    )
    for table in ("second_factor", "recovery_code"):
        rls.protect(op, table, service="auth", workspace_column=None, account_column="account_id")
        # Nothing but a sign-in and the person's own changes have to do with these.
        rls.grant(op, table, WORKER, ())


def _account_id() -> sa.Column[str]:
    return sa.Column("account_id", sa.Text, sa.ForeignKey("account.id", ondelete="CASCADE"), primary_key=True)
