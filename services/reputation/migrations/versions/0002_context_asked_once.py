"""Row security asks for the context once a statement, and not for each row.

Revision ID: 0002
"""

from alembic import op

from shared.db import rls

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    rls.ask_once(op)


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
