"""What the API's database role can and cannot do."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db.database import Database
from shared.ids import new_id
from tests.dns.caller import Caller, proven
from tests.dns.stage import Stage
from tests.fixtures.database import ServiceDatabase


async def test_every_table_with_a_workspace_is_forced_behind_row_security(
    dns_database: ServiceDatabase,
) -> None:
    rows = dns_database.postgres.psql(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity from pg_class c join pg_attribute a "
        "on a.attrelid = c.oid and a.attname = 'workspace_id' where c.relkind = 'r' "
        "and c.relnamespace = 'public'::regnamespace",
        dns_database.name,
    )
    tables = dict(line.split("|") for line in rows.split())
    assert {
        "zone",
        "zone_proof",
        "nameset",
        "record_state",
        "owned_record",
        "write_intent",
        "record_plan",
    } <= set(tables)
    assert set(tables.values()) == {"t"}


async def test_the_api_sees_only_the_rows_of_its_workspace(
    stage: Stage, owner: Caller, dns_database: ServiceDatabase
) -> None:
    await proven(stage, owner)
    database = Database(dns_database.app_url)
    for table in ("zone", "zone_proof", "nameset", "record_state", "owned_record", "record_plan"):
        query = text(f"select count(*) from {table}")  # noqa: S608 (fixed names)
        async with database.transaction(workspace_id=owner.workspace_id) as session:
            assert await session.scalar(query) > 0, table
        for other in (None, new_id("ws")):
            async with database.transaction(workspace_id=other) as session:
                assert await session.scalar(query) == 0, table
    await database.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "update zone set state = 'proven'",
        "update zone set provider_token_id = 'ptk_other'",
        "insert into zone (id, workspace_id, name, method, challenge, state, name_servers, created_at, due_at) "
        "values ('zon_x', current_setting('app.workspace_id'), 'victim.com', 'txt', 'c', 'proven', '[]', now(), now())",
        "update record_plan set content = '{}'",
        "update record_plan set state = 'applied'",
        "insert into owned_record select * from owned_record",
        "delete from owned_record",
        "delete from zone",
        "update nameset set forward = true",
        "select * from write_intent",
    ],
)
async def test_the_api_cannot_prove_own_or_apply(
    stage: Stage, owner: Caller, dns_database: ServiceDatabase, statement: str
) -> None:
    await proven(stage, owner)
    database = Database(dns_database.app_url)
    with pytest.raises(DBAPIError, match=r"permission denied|row-level security"):
        async with database.transaction(workspace_id=owner.workspace_id) as session:
            await session.execute(text(statement))
    await database.dispose()
