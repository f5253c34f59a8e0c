"""A payment page that expired unpaid is a state of its own: nothing was charged, and nothing is owed.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

STATES = "'pending', 'expired', 'active', 'past_due', 'ended', 'refused'"


def upgrade() -> None:
    # Any number of rows are checked without a lock that would hold up those who write.
    op.execute("alter table subscription drop constraint ck_subscription_status")
    op.execute(
        f"alter table subscription add constraint ck_subscription_status check (status in ({STATES})) not valid"
    )
    op.execute("alter table subscription validate constraint ck_subscription_status")


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
