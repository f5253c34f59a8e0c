"""Auth's tables; those of a workspace behind row-level security.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.db import kit_tables, rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

moment = sa.DateTime(timezone=True)
APP, WORKER, OWNER = "auth_app", "auth_worker", "auth_owner"


def upgrade() -> None:
    kit_tables.create(op, "auth")
    _people()
    _workspaces()
    _invitations_and_keys()
    _messages()
    _walls()
    _stream()


def _people() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
    )
    op.create_table(
        "signup",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, index=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("used_at", moment),
    )
    op.create_table(
        "session",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column(
            "account_id", sa.Text, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("authenticated_at", moment, nullable=False),
        sa.Column("idle_expires_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("revoked_at", moment, index=True),
        sa.Column("revoke_reason", sa.Text),
    )
    op.create_table(
        "refresh_token",
        sa.Column("token_hash", sa.LargeBinary, primary_key=True),
        sa.Column(
            "session_id", sa.Text, sa.ForeignKey("session.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("rotated_at", moment),
        sa.Column("successor_sealed", sa.LargeBinary),
    )
    op.create_table(
        "sign_in_failure",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_failed_at", moment, nullable=False),
    )


def _workspaces() -> None:
    op.create_table(
        "workspace",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="active"),
        sa.Column("version", sa.Integer, nullable=False, server_default="1"),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.CheckConstraint("state in ('active','deleting','deleted')", name="state"),
    )
    op.create_table(
        "member",
        sa.Column("id", sa.Text, primary_key=True),
        _workspace_id(),
        sa.Column(
            "account_id", sa.Text, sa.ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("joined_at", moment, nullable=False),
        sa.UniqueConstraint("workspace_id", "account_id"),
        sa.CheckConstraint("role in ('owner','admin','member')", name="role"),
    )
    op.create_table(
        "deletion",
        sa.Column("workspace_id", sa.Text, primary_key=True),
        sa.Column("workspace_name", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("requested_at", moment, nullable=False),
        sa.Column("provisioner_at", moment),
        sa.Column("dns_at", moment),
        sa.Column("deleted_at", moment),
        sa.Column("vault_at", moment),
        sa.Column("data_keys_shredded", sa.Integer),
    )


def _workspace_id() -> sa.Column[str]:
    return sa.Column(
        "workspace_id", sa.Text, sa.ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False
    )


def _invitations_and_keys() -> None:
    op.create_table(
        "invitation",
        sa.Column("id", sa.Text, primary_key=True),
        _workspace_id(),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("invited_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("accepted_at", moment),
        sa.Column("accepted_by", sa.Text),
        sa.Column("revoked_at", moment),
        sa.CheckConstraint("role in ('admin','member')", name="role"),
    )
    op.create_index(
        "uq_invitation_open",
        "invitation",
        ["workspace_id", "email"],
        unique=True,
        postgresql_where=sa.text("accepted_at is null and revoked_at is null"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.Text, primary_key=True),
        _workspace_id(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("public_id", sa.Text, nullable=False, unique=True),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False, index=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("revoked_at", moment),
        sa.Column("last_used_at", moment),
    )
    op.create_index("ix_api_key_workspace_id", "api_key", ["workspace_id"])


def _messages() -> None:
    op.create_table(
        "notification",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text),
        sa.Column("data", JSONB, nullable=False, server_default="{}"),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("next_attempt_at", moment, nullable=False),
        sa.Column("sent_at", moment),
        sa.Column("provider_id", sa.Text),
        sa.Column("last_error", sa.Text),
        sa.CheckConstraint("state in ('pending','sent','failed','dropped')", name="state"),
    )
    op.create_index(
        "ix_notification_due",
        "notification",
        ["next_attempt_at"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("actor_kind", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("data", JSONB, nullable=False),
        sa.Column("row_hash", sa.Text, nullable=False),
    )
    op.create_index("ix_audit_log_page", "audit_log", ["workspace_id", "at", "id"])


def _walls() -> None:
    for table in ("account", "signup", "session", "refresh_token", "sign_in_failure"):
        rls.protect(op, table, service="auth", workspace_column=None)
    for table in ("member", "invitation", "api_key", "audit_log", "deletion"):
        rls.protect(op, table, service="auth")
    rls.protect(op, "workspace", service="auth", workspace_column="id")
    # Mails: the API queues them and counts them; only the worker sends and settles them.
    rls.grant(op, "notification", APP, ("select", "insert"))
    rls.grant(op, "notification", WORKER, rls.ALL_PRIVILEGES)
    # The log is what events told: the API reads it.
    rls.grant(op, "audit_log", APP, "select")
    rls.grant(op, "audit_log", WORKER, ("select", "insert"))
    account = rls.setting("account_id")
    # Outside of a workspace a person sees where he is a member, and the ends that he asked for; he changes nothing.
    rls.policy(op, "member", APP, "select", using=f"account_id = {account}")
    rls.policy(
        op,
        "workspace",
        APP,
        "select",
        using=f"exists (select 1 from member m where m.workspace_id = workspace.id and m.account_id = {account})",  # noqa: S608
    )
    rls.policy(op, "deletion", APP, "select", using=f"requested_by = {account}")
    # A key is found by its public id before its workspace is known.
    rls.policy(op, "api_key", APP, "select", using=f"public_id = {rls.setting('api_key_public_id')}")


def _stream() -> None:
    op.create_table(
        "stream_position",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.execute("insert into stream_position (name, value) values ('authority', 0)")
    for role in (APP, WORKER):
        rls.grant(op, "stream_position", role, ("select", "update"))
    # Gateways need every membership. Not the app role but a function of the owner reads them, in this one shape.
    rls.policy(op, "member", OWNER, "select", using="true")
    op.execute(
        """
        create function authority_snapshot(revoked_since timestamptz) returns jsonb
        language sql stable security definer set search_path = public, pg_temp as $$
        select jsonb_build_object(
            'sequence', (select value from stream_position where name = 'authority'),
            'memberships', coalesce((select jsonb_agg(jsonb_build_object(
                'workspace_id', workspace_id, 'account_id', account_id, 'role', role)) from member), '[]'),
            'revoked_sessions', coalesce((select jsonb_agg(id) from session
                where revoked_at >= revoked_since), '[]'))
        $$
        """
    )
    op.execute("revoke all on function authority_snapshot(timestamptz) from public")
    op.execute(f"grant execute on function authority_snapshot(timestamptz) to {APP}")
