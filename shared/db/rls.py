"""Migration operations for the second wall between workspaces: row-level security.

Each service has three roles: `<service>_owner` runs migrations, `<service>_app` serves requests and sees only the
rows of the transaction's context, `<service>_worker` does background work under a policy of its own. None of
them is a superuser or may bypass row security.
"""

from __future__ import annotations

from typing import Protocol

ALL_PRIVILEGES = ("select", "insert", "update", "delete")


class Operations(Protocol):
    """The part of Alembic's `op` that is used here."""

    def execute(self, sqltext: str) -> None: ...


def app_role(service: str) -> str:
    return f"{service}_app"


def worker_role(service: str) -> str:
    return f"{service}_worker"


def setting(name: str) -> str:
    """SQL: the context value, or null when there is none (an empty string counts as none). As a subquery it is asked
    for once a statement, and not for each row that a policy looks at."""
    return f"(select nullif(current_setting('app.{name}', true), ''))"


def ask_once(op: Operations) -> None:
    """Gives policies that were made before `setting` was a subquery the present form; others stay as they are."""
    op.execute(r"""
        do $$
        declare one record;
        begin
            for one in
                select tablename, policyname,
                       ' using (' || regexp_replace(qual, before, after, 'g') || ')' as shown,
                       ' with check (' || regexp_replace(with_check, before, after, 'g') || ')' as written
                from pg_policies, (values (
                    $re$NULLIF\(current_setting\('([a-z._]+)'::text, true\), ''::text\)$re$,
                    $sql$(select nullif(current_setting('\1', true), ''))$sql$
                )) as forms (before, after)
                where schemaname = current_schema
                  and concat(qual, with_check) ~ before and concat(qual, with_check) !~ ('SELECT ' || before)
            loop
                execute format('alter policy %I on %I', one.policyname, one.tablename)
                    || coalesce(one.shown, '') || coalesce(one.written, '');
            end loop;
        end $$
    """)


def grant(op: Operations, table: str, role: str, privileges: str | tuple[str, ...]) -> None:
    """GRANT of exactly these privileges; what the role had on the table before is revoked."""
    wanted = privileges if isinstance(privileges, str) else ", ".join(privileges)
    op.execute(f"revoke all on {table} from {role}")
    if wanted:
        op.execute(f"grant {wanted} on {table} to {role}")


def protect(
    op: Operations,
    table: str,
    *,
    service: str,
    workspace_column: str | None = "workspace_id",
    account_column: str | None = None,
) -> None:
    """Grants both roles their work on `table` and, with a column given, puts it behind row-level security.

    The app role sees a row when its workspace is the transaction's workspace, or (with `account_column`) when its
    account is the transaction's account. The worker role sees all rows.
    """
    grant(op, table, app_role(service), ALL_PRIVILEGES)
    grant(op, table, worker_role(service), ALL_PRIVILEGES)
    conditions = []
    if workspace_column:
        conditions.append(f"{workspace_column} = {setting('workspace_id')}")
    if account_column:
        conditions.append(f"{account_column} = {setting('account_id')}")
    if conditions:
        enable(op, table)
        condition = " or ".join(conditions)
        policy(op, table, app_role(service), "all", using=condition, check=condition)
        policy(op, table, worker_role(service), "all", using="true", check="true")


def enable(op: Operations, table: str) -> None:
    """Row security for everybody, the owner included."""
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")


def policy(
    op: Operations, table: str, role: str, command: str, *, using: str | None = None, check: str | None = None
) -> None:
    """One permissive policy of `role` for `command` (all, select, insert, update, delete)."""
    clauses = (f" using ({using})" if using else "") + (f" with check ({check})" if check else "")
    op.execute(f"create policy {table}_{role}_{command} on {table} for {command} to {role}{clauses}")
