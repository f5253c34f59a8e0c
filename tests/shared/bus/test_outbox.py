"""What the app role may do with the outbox."""

import asyncpg
import pytest

from shared.bus import outbox
from shared.bus.relay import asyncpg_arguments
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase
from tests.shared.bus.numbers import NumberSeen


async def test_the_app_role_can_add_events_of_its_workspace_only(app: Database, worker: Database) -> None:
    mine, theirs = new_id("ws"), new_id("ws")

    async def emit(context: str, workspace: str) -> str:
        async with app.transaction(context) as session:
            return await outbox.emit(
                session, NumberSeen(number=1), subject="n", workspace_id=workspace, aggregate_version=1
            )

    await emit(mine, mine)
    with pytest.raises(Exception, match="row-level security"):
        await emit(mine, theirs)


async def test_the_app_role_cannot_read_the_outbox(kit_database: ServiceDatabase) -> None:
    connection = await asyncpg.connect(**asyncpg_arguments(kit_database.app_url))
    try:
        for statement in ("select * from outbox", "delete from outbox", "select * from inbox"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
