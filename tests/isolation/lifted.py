"""Row security taken away for a while, and whether a row of the matrix goes red then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.isolation import expectations
from tests.isolation.cases import Case
from tests.isolation.stage import Stage

Verdict = str | None
"""What noticed the mutant; None: nothing did, it survived."""
Row = Callable[..., Awaitable[list[str]]]

_PROTECTED = text(
    "with found as materialized (select distinct tablename::text as name from pg_policies "
    "where schemaname = 'public' and cast(:role as name) = any(roles)) "
    "select name from found where has_any_column_privilege(:role, name, 'select, insert, update') "
    "or has_table_privilege(:role, name, 'delete') order by 1"
)


async def protected(stage: Stage, service: str) -> list[str]:
    """Tables with row security that the API's role may do something with."""
    async with _owner(stage, service) as connection:
        tables = await connection.execute(_PROTECTED, {"role": f"{service}_app"})
        return list(tables.scalars())


@asynccontextmanager
async def row_security_lifted(stage: Stage, service: str, tables: Sequence[str]) -> AsyncIterator[None]:
    app = f"{service}_app"
    async with _owner(stage, service) as connection:
        for table in tables:
            await connection.execute(
                text(f"create policy mutant on {table} to {app} using (true) with check (true)")
            )
    try:
        yield
    finally:
        async with _owner(stage, service) as connection:
            for table in tables:
                await connection.execute(text(f"drop policy mutant on {table}"))


@asynccontextmanager
async def _owner(stage: Stage, service: str) -> AsyncIterator[Any]:
    engine = create_async_engine(stage.world.migrated[service].owner_url)
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def red(stage: Stage, case: Case, row: Row) -> Verdict:
    wrong = await row(stage, case, expectations.of(case, expectations.load()))
    return wrong[0] if wrong else None
