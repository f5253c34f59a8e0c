"""The mailboxes of an export stand in pages, so that no step of a download has all of them in hand.

`export.mailbox_ids` stays, empty from now on, until no process of the release before runs. A link of that release has no
pages and counts as expired.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "export_page",
        sa.Column("export_id", sa.Text, sa.ForeignKey("export.id", ondelete="cascade"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False, index=True),
        sa.Column("mailbox_ids", sa.ARRAY(sa.Text), nullable=False),
    )
    rls.protect(op, "export_page", service="vault")
    op.alter_column("export", "mailbox_ids", server_default="{}")
    op.add_column("export", sa.Column("mailboxes", sa.Integer))


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
