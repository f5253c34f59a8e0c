"""The request's transaction. It commits before the answer is sent.

FastAPI runs the end of a default `yield` dependency after the response has left, so a failed commit would still
have answered 200; `scope="function"` ends it first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from shared.db.database import Database


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _resources(request: Request) -> Any:
    return request.app.state.resources


DatabaseDep = Annotated[Database, Depends(_database)]
ResourcesDep = Annotated[Any, Depends(_resources)]


def context_of(request: Request) -> dict[str, str | None]:
    """Whose rows a transaction of this request sees: the arguments of `Database.transaction`."""
    identity = getattr(request.state, "identity", None)
    return {
        "workspace_id": identity.workspace_id if identity else None,
        "account_id": identity.subject if identity and identity.kind == "user" else None,
    }


async def _session(request: Request, database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    """One transaction in the context of the verified identity: its workspace, and its account for people."""
    async with database.transaction(**context_of(request)) as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(_session, scope="function")]
