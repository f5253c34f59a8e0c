from sqlalchemy import text

from shared.bus import housekeeping
from shared.db.database import Database


async def test_only_what_is_old_and_done_is_removed(worker: Database) -> None:
    async with worker.transaction() as session:
        await session.execute(
            text(
                "insert into outbox (id, type, subject, aggregate_version, headers, body, created_at, published_at)"
                " values ('done', 't', 's', 1, '{}', '', now() - interval '9 days', now() - interval '8 days'),"
                " ('fresh', 't', 's', 1, '{}', '', now(), now()),"
                " ('unroutable', 't', 's', 1, '{\"unroutable\": true}', '', now() - interval '9 days',"
                " now() - interval '8 days'),"
                " ('stuck', 't', 's', 1, '{}', '', now() - interval '90 days', null)"
            )
        )
        await session.execute(
            text("insert into inbox values ('q', 'old', now() - interval '31 days'), ('q', 'new', now())")
        )
        await session.execute(
            text(
                "insert into idempotency_key values ('p', 'r', 'old', null, null, '', 201, '{}', now() - interval"
                " '25 hours'), ('p', 'r', 'new', null, null, '', 201, '{}', now())"
            )
        )
    assert await housekeeping.sweep(worker) == {"outbox": 1, "inbox": 1, "idempotency_key": 1}
    async with worker.transaction() as session:
        assert set(await session.scalars(text("select id from outbox"))) == {"fresh", "stuck", "unroutable"}


async def test_many_rows_go_in_steps(worker: Database) -> None:
    async with worker.transaction() as session:
        await session.execute(
            text(
                "insert into inbox select 'many', n::text, now() - interval '40 days' from generate_series(1, 2500) n"
            )
        )
    assert (await housekeeping.sweep(worker))["inbox"] == 2500
