"""The catalogue of every service's migrated database: no table with a workspace stands outside the wall."""

import asyncpg
import pytest

from shared.bus.relay import asyncpg_arguments
from tests.fixtures import rows
from tests.fixtures.database import ServiceDatabases, migrate, migrated_services

UNPROTECTED = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p')
  and exists (select 1 from pg_attribute a where a.attrelid = c.oid and not a.attisdropped
              and a.attname = 'workspace_id')
  and has_any_column_privilege($1, c.oid, 'select, insert, update, references')
  and not (c.relrowsecurity and c.relforcerowsecurity
           and exists (select 1 from pg_policy p where p.polrelid = c.oid and $1::regrole::oid = any(p.polroles)))
"""
OPEN_POLICIES = """
select c.relname || '.' || p.polname from pg_policy p join pg_class c on c.oid = p.polrelid
where p.polpermissive and $1::regrole::oid = any(p.polroles) and p.polcmd in ('*', 'r', 'w', 'd')
  and (pg_get_expr(p.polqual, p.polrelid) = 'true' or p.polqual is null)
  and exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'workspace_id')
"""
WORKSPACE_TABLES = """
select c.relname, c.relrowsecurity and c.relforcerowsecurity as walled from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p')
  and exists (select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'workspace_id'
              and not a.attisdropped)
"""
ASKED_PER_ROW = """
select tablename || '.' || policyname from pg_policies
where regexp_replace(concat(qual, with_check), 'SELECT NULLIF', '', 'g') ~ 'NULLIF'
"""
VIEWS = """
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('v', 'm')
  and not coalesce('security_invoker=true' = any(c.reloptions), false)
"""

pytestmark = pytest.mark.parametrize("service", migrated_services())


async def test_each_table_with_a_workspace_is_walled(
    service: str, service_database: ServiceDatabases
) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(service_database(service).app_url))
    try:
        tables = await connection.fetch(WORKSPACE_TABLES)
        assert [row["relname"] for row in tables if not row["walled"]] == []
        assert {"outbox", "idempotency_key", "audit_entry", "audit_head"} <= {
            row["relname"] for row in tables
        }
        assert await connection.fetch(UNPROTECTED, f"{service}_app") == []
    finally:
        await connection.close()


async def test_the_app_role_has_no_policy_that_lets_everything_through(
    service: str, service_database: ServiceDatabases
) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(service_database(service).app_url))
    try:
        assert await connection.fetch(OPEN_POLICIES, f"{service}_app") == []
        assert await connection.fetch(VIEWS) == []
    finally:
        await connection.close()


async def test_no_policy_asks_for_the_context_once_a_row(
    service: str, service_database: ServiceDatabases
) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(service_database(service).app_url))
    try:
        asked = await connection.fetchval("select count(*) from pg_policies where qual ~ 'SELECT NULLIF'")
        assert asked > 0
        assert await connection.fetch(ASKED_PER_ROW) == []
    finally:
        await connection.close()


BY_DESIGN = {True: set(), False: {"outbox: insert: INSERT 0 1"}}
"""Outside of a workspace events about one are written, too: a person takes up an invitation."""


@pytest.mark.parametrize("context", [True, False], ids=["in a stranger's context", "in no context"])
async def test_the_app_role_can_do_nothing_with_a_row_of_somebody_else_in_any_table(
    service: str, service_database: ServiceDatabases, context: bool
) -> None:
    """Each table has a row, and each command that is granted is tried: select, insert, update, delete."""
    database = service_database(service)
    tables = await rows.fill(database.superuser_url())
    assert {"outbox", "idempotency_key", "audit_entry", "audit_head"} <= set(tables)
    wrong = [
        line
        for table in tables
        for line in await rows.seen_by_a_stranger(database.app_url, table, context=context)
    ]
    assert set(wrong) == BY_DESIGN[context]


async def test_no_role_of_the_service_is_privileged(service: str, service_database: ServiceDatabases) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(service_database(service).app_url))
    try:
        privileged = await connection.fetch(
            "select rolname from pg_roles where rolname like $1 and (rolsuper or rolbypassrls)", f"{service}%"
        )
        assert privileged == []
        owned = await connection.fetchval(
            "select count(*) from pg_class where relowner = $1::regrole", f"{service}_app"
        )
        assert owned == 0
    finally:
        await connection.close()


def test_models_and_migrations_agree(service: str, service_database: ServiceDatabases) -> None:
    assert "No new upgrade operations" in migrate(service, service_database(service).owner_url, ("check",))
