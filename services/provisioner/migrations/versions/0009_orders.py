"""Reboot, rescue and rebuild as wishes: what was ordered, and how far it was carried out.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, default in (
        ("boots", "0"), ("boots_stopped", "0"), ("boots_done", "0"),
        ("incarnation", "1"), ("incarnation_cleared", "1"), ("webmail_incarnation", "1"),
    ):  # fmt: skip
        op.add_column("server", sa.Column(name, sa.Integer, nullable=False, server_default=sa.text(default)))
    op.add_column(
        "server", sa.Column("boot_type", sa.Text, nullable=False, server_default=sa.text("'local'"))
    )
    # Not validated: rows of an older program have the default, and a scan would hold the table.
    op.execute(
        "alter table server add constraint ck_server_boot_type "
        "check (boot_type in ('local', 'rescue')) not valid"
    )


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
