"""The second wall: what the app role sees, and that it has no way round."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db.database import Database, set_context
from shared.ids import new_id

A, B = new_id("ws"), new_id("ws")


async def add(database: Database, workspace: str, context: str | None = None) -> str:
    identifier = new_id("res")
    async with database.transaction(context or workspace) as session:
        await session.execute(
            text("insert into note values (:i, :w, 'hello')"), {"i": identifier, "w": workspace}
        )
    return identifier


async def seen(database: Database, context: str | None) -> set[str]:
    async with database.transaction(context) as session:
        return set(await session.scalars(text("select id from note")))


async def test_each_workspace_sees_its_own_rows(app: Database) -> None:
    mine, theirs = await add(app, A), await add(app, B)
    assert mine in await seen(app, A)
    assert theirs not in await seen(app, A)


async def test_no_context_means_no_rows(app: Database) -> None:
    await add(app, A)
    assert await seen(app, None) == set()


async def test_a_row_for_another_workspace_cannot_be_written(app: Database) -> None:
    with pytest.raises(DBAPIError, match="row-level security"):
        await add(app, B, context=A)


async def test_another_workspaces_row_cannot_be_changed_moved_or_deleted(app: Database) -> None:
    theirs = await add(app, B)
    async with app.transaction(A) as session:
        changed = await session.execute(text("update note set text = 'x' where id = :i"), {"i": theirs})
        deleted = await session.execute(text("delete from note where id = :i"), {"i": theirs})
        assert (changed.rowcount, deleted.rowcount) == (0, 0)  # type: ignore[attr-defined]
    mine = await add(app, A)
    with pytest.raises(DBAPIError, match="row-level security"):
        async with app.transaction(A) as session:
            await session.execute(
                text("update note set workspace_id = :w where id = :i"), {"w": B, "i": mine}
            )


async def test_the_context_ends_with_its_transaction(app: Database) -> None:
    await add(app, A)
    for _ in range(10):
        assert await seen(app, None) == set()


async def test_the_context_can_be_entered_later_in_a_transaction(app: Database) -> None:
    mine = await add(app, A)
    async with app.transaction() as session:
        await set_context(session, workspace_id=A)
        assert mine in set(await session.scalars(text("select id from note")))


async def test_an_account_sees_its_rows_outside_of_any_workspace(app: Database) -> None:
    account, other = new_id("usr"), new_id("usr")
    async with app.transaction(account_id=account) as session:
        await session.execute(
            text("insert into diary values (:i, null, :a)"), {"i": new_id("res"), "a": account}
        )
    async with app.transaction(account_id=account) as session:
        assert await session.scalar(text("select count(*) from diary")) == 1
    async with app.transaction(account_id=other) as session:
        assert await session.scalar(text("select count(*) from diary")) == 0


async def test_the_worker_role_sees_all_workspaces(app: Database, worker: Database) -> None:
    both = {await add(app, A), await add(app, B)}
    assert both <= await seen(worker, None)


@pytest.mark.parametrize(
    "statement",
    [
        "set role dns_worker",
        "set role dns_owner",
        "alter table note disable row level security",
        "drop policy note_dns_app_all on note",
        "truncate note",
        "set session authorization dns_owner",
        "grant dns_owner to dns_app",
    ],
)
async def test_the_app_role_cannot_leave_its_wall(app: Database, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be|must have admin|not permitted"):
        async with app.transaction(A) as session:
            await session.execute(text(statement))


async def test_a_failed_transaction_leaves_nothing(app: Database) -> None:
    identifier = new_id("res")

    async def fail() -> None:
        async with app.transaction(A) as session:
            await session.execute(text("insert into note values (:i, :w, '')"), {"i": identifier, "w": A})
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert identifier not in await seen(app, A)


async def test_a_database_that_does_not_answer_is_a_connection_error() -> None:
    database = Database("postgresql+asyncpg://nobody@/none?host=/nonexistent")
    with pytest.raises(ConnectionError):
        async with database.transaction():
            pass
    await database.dispose()


async def test_pooled_connections_use_no_lasting_prepared_statements(kit_database) -> None:  # type: ignore[no-untyped-def]
    database = Database(kit_database.app_url, pooler="transaction", pool_size=1)
    for _ in range(5):
        await seen(database, A)
    async with database.transaction() as session:
        names = list(await session.scalars(text("select name from pg_prepared_statements")))
    assert len(names) <= 2
    await database.dispose()
