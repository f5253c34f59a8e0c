"""A domain moves with its mailboxes and their mail.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STATES = "'pending', 'moving', 'awaiting_dns', 'securing', 'ready', 'removing'"
PHASES = "'preparing', 'copying', 'announcing', 'switching', 'closing', 'closed', 'finishing', 'opened', 'leaving', 'forgetting'"


def upgrade() -> None:
    op.drop_constraint("ck_domain_state", "domain")
    op.create_check_constraint("state", "domain", f"state in ({STATES})")
    op.add_column("domain", sa.Column("move_phase", sa.Text))
    op.add_column("domain", sa.Column("move_before", JSONB))
    op.add_column("domain", sa.Column("move_generation", sa.BigInteger))
    op.add_column("domain", sa.Column("opened_at", sa.DateTime(timezone=True)))
    op.create_check_constraint("move_phase", "domain", f"move_phase in ({PHASES})")
    op.add_column("mailbox", sa.Column("copied", sa.Text))
    op.add_column("mailbox", sa.Column("moves", sa.Integer, nullable=False, server_default=sa.text("0")))
    op.create_check_constraint("copied", "mailbox", "copied in ('once', 'all', 'passwords')")
    # A job can be ended by one on another server.
    op.create_index("ix_job_subject_id", "job", ["subject_id"])


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
