"""Policies of a database that was migrated before the context was asked for once a statement."""

from __future__ import annotations

from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.db import rls
from tests.fixtures.database import ServiceDatabase

EITHER = (
    "workspace_id = nullif(current_setting('app.workspace_id', true), '')"
    " or account_id = nullif(current_setting('app.account_id', true), '')"
)
WITHIN = "exists (select from note where note.workspace_id = nullif(current_setting('app.workspace_id', true), ''))"
POLICIES = """
select policyname, qual, with_check from pg_policies where tablename = 'diary_before' order by policyname
"""
TABLE = """
create table diary_before (id text, workspace_id text, account_id text);
create policy either on diary_before using ({either}) with check ({either});
create policy only_read on diary_before for select using ({within});
create policy only_written on diary_before for insert with check ({either});
create policy open on diary_before using (true) with check (true);
"""


def _asked_once(connection: Connection) -> list[Any]:
    for statement in TABLE.format(either=EITHER, within=WITHIN).split(";"):
        if statement.strip():
            connection.execute(text(statement))
    op = Operations(MigrationContext.configure(connection))
    rls.ask_once(op)
    once = connection.execute(text(POLICIES)).all()
    rls.ask_once(op)
    assert connection.execute(text(POLICIES)).all() == once
    connection.rollback()
    return list(once)


async def test_each_clause_gets_the_form_that_new_policies_have(kit_database: ServiceDatabase) -> None:
    engine = create_async_engine(kit_database.owner_url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        policies = {name: (qual, check) for name, qual, check in await connection.run_sync(_asked_once)}
        new = (
            await connection.execute(text("select qual from pg_policies where tablename = 'diary'"))
        ).scalars()
        form = next(qual for qual in new if qual != "true")
    await engine.dispose()
    assert policies["either"] == (form, form)
    assert policies["only_written"] == (None, form)
    assert policies["open"] == ("true", "true")
    shown, written = policies["only_read"]
    assert shown is not None
    assert shown.startswith("(EXISTS")
    assert "SELECT NULLIF" in shown
    assert written is None
