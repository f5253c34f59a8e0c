"""Connections of the pool that have died, and what it costs to know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from shared.bus.relay import asyncpg_arguments
from shared.db import liveness
from shared.db.database import Database
from tests.fixtures.database import ServiceDatabase


@pytest.fixture
async def database(kit_database: ServiceDatabase) -> AsyncIterator[Database]:
    one = Database(kit_database.app_url)
    yield one
    await one.dispose()


@pytest.fixture
def pings(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Each connection that was asked whether it lives."""
    seen: list[Any] = []
    ping = database.engine.dialect.do_ping

    def do_ping(connection: Any) -> bool:
        seen.append(connection)
        return ping(connection)

    monkeypatch.setattr(database.engine.dialect, "do_ping", do_ping)
    return seen


async def backend(database: Database) -> int:
    async with database.transaction() as session:
        return int(await session.scalar(text("select pg_backend_pid()")) or 0)


async def end(url: str, pid: int) -> None:
    """As when the server restarts."""
    superuser = await asyncpg.connect(**asyncpg_arguments(url))
    await superuser.execute("select pg_terminate_backend($1, 5000)", pid)
    await superuser.close()


async def test_a_connection_that_the_server_closed_is_replaced_before_it_is_used(
    database: Database, pings: list[Any], kit_database: ServiceDatabase
) -> None:
    gone = await backend(database)
    await end(kit_database.superuser_url(), gone)

    assert await backend(database) != gone
    assert pings == []


async def test_one_that_was_used_a_moment_ago_is_not_asked(database: Database, pings: list[Any]) -> None:
    assert await backend(database) == await backend(database)
    assert pings == []


async def test_one_that_has_rested_is_asked(
    database: Database, pings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await backend(database)
    monkeypatch.setattr(liveness, "RESTED", 0.0)

    assert await backend(database) == first
    assert len(pings) == 1


async def test_one_that_died_in_silence_is_replaced_when_it_has_rested(
    database: Database, pings: list[Any], kit_database: ServiceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = await backend(database)
    await end(kit_database.superuser_url(), gone)
    monkeypatch.setattr(liveness, "RESTED", 0.0)
    monkeypatch.setattr(asyncpg.Connection, "is_closed", lambda _: False)

    assert await backend(database) != gone
    assert len(pings) == 1
