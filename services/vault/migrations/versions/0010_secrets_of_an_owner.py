"""The secrets of an owner are found by the owner's id first.

A look through the index compares what tells owners apart before what all of a workspace have in common, and who works
for no single workspace (the worker) finds an owner's secrets by it as well.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_unique_constraint(
        "uq_secret_owner_id_owner_kind_field_version_workspace_id",
        "secret",
        ["owner_id", "owner_kind", "field", "version", "workspace_id"],
    )
    op.drop_constraint("uq_secret_workspace_id_owner_kind_owner_id_field_version", "secret")


def downgrade() -> None:
    raise NotImplementedError("data is not thrown away by a downgrade; restore a backup")
