"""Prices at Stripe, invoices, and what a subscription costs.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

from shared.db import rls

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SERVICE = "provisioner"
moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name, kind in (
        ("price_id", sa.Text),
        ("amount_cents", sa.Integer),
        ("currency", sa.Text),
        ("period_end", moment),
        ("cancel_at", moment),
    ):
        op.add_column("subscription", sa.Column(name, kind))
    op.create_table(
        "price",
        sa.Column("plan", sa.Text, primary_key=True),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.Column("amount_cents", sa.Integer, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("seen_at", moment, nullable=False),
    )
    rls.grant(op, "price", rls.worker_role(SERVICE), rls.ALL_PRIVILEGES)
    rls.grant(op, "price", rls.app_role(SERVICE), "select")
    op.create_table(
        "invoice",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("subscription_id", sa.Text, sa.ForeignKey("subscription.id"), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("number", sa.Text),
        sa.Column("amount_due", sa.Integer, nullable=False),
        sa.Column("amount_paid", sa.Integer, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("hosted_url", sa.Text),
        sa.Column("pdf_url", sa.Text),
        sa.Column("look", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_invoice_workspace_id_created_at", "invoice", ["workspace_id", "created_at"])
    op.create_index("ix_invoice_subscription_id", "invoice", ["subscription_id"])
    rls.protect(op, "invoice", service=SERVICE)
    rls.grant(op, "invoice", rls.app_role(SERVICE), "select")
