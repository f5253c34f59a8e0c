"""`Idempotency-Key`: a POST that creates may be repeated, and takes effect once.

The answer is stored in the same transaction as the effect. 400 without a key, 409 while the first request is still
at work, 422 when the key was used for another body; a replay carries `Idempotency-Replayed: true`. Keys belong to
one principal and route and are kept for a day. What fails stores nothing, so it can be tried again.

A request that has to ask somebody outside runs in three parts (`SteppedIdempotencyDep`): what is intended is stored,
then the outside is asked while no connection to the database is held, then the answer is stored. The same key takes
up a request that broke off where it was; what is asked outside must itself bear to be asked twice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Header, Request
from fastapi.encoders import jsonable_encoder
from pydantic import WithJsonSchema
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import JSONResponse, Response

from shared.db.database import Database
from shared.db.kit_tables import idempotency_key
from shared.errors import DomainError
from shared.identity.model import Identity
from shared.web.session import DatabaseDep, SessionDep, context_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
INTENDED: Final = 102
"""The status stored with an intent: there is no answer yet (RFC 2518 section 10.1, Processing)."""
_GRAMMAR = re.compile(r"[\x21-\x7e]{1,128}")
R = TypeVar("R")


class IdempotencyKeyMissing(DomainError):
    status = 400
    code = "idempotency_key_missing"
    title = "This request needs an Idempotency-Key header"


class IdempotencyInFlight(DomainError):
    status = 409
    code = "idempotency_in_flight"
    title = "The first request with this Idempotency-Key is still at work"


class IdempotencyKeyReused(DomainError):
    status = 422
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for a different request"


class Idempotency:
    """The guard of one request."""

    def __init__(self, request: Request, session: AsyncSession, key: str | None) -> None:
        self._request = request
        self._session = session
        self._key = key
        identity: Identity | None = getattr(request.state, "identity", None)
        self._workspace_id = identity.workspace_id if identity else None
        self._account_id = identity.subject if identity and identity.kind == "user" else None
        subject = f"{identity.kind}:{identity.subject}" if identity else "anonymous"
        self._principal = f"{self._workspace_id or '-'}/{subject}"

    async def run(
        self,
        *,
        status_code: int,
        call: Callable[[], Awaitable[Any]],
        secret_fields: Collection[str] = (),
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Runs `call` once for this key and answers with what it returns (a pydantic model or JSON).

        `secret_fields` are top-level members that are shown this once: they are stored as null, a replay has null
        there, and nothing on the way keeps the answer.
        """
        stored = await self.locked()
        if stored is not None:
            return _replay(stored)
        content = jsonable_encoder(await call())
        await self.store(status_code, _without(content, secret_fields))
        unkept = {"Cache-Control": "no-store"} if secret_fields else {}
        return JSONResponse(content, status_code=status_code, headers={**unkept, **(headers or {})})

    async def locked(self) -> Any:
        """Holds the key until the transaction ends; what is stored under it, or None. Raises IdempotencyInFlight,
        and IdempotencyKeyReused for another body."""
        key = self._checked_key()
        if not await self._lock(self._route, key):
            raise IdempotencyInFlight(next_action="Wait a moment, then send the same request again.")
        stored = await self._stored(self._route, key)
        if stored is not None and stored.request_hash != await self._body_hash():
            raise IdempotencyKeyReused(next_action="Use a fresh key for a different request.")
        return stored

    async def store(self, status_code: int, content: Any) -> None:
        """Stores the answer under the locked key, in place of an intent."""
        row = {
            "principal": self._principal,
            "route": self._route,
            "key": self._checked_key(),
            "workspace_id": self._workspace_id,
            "account_id": self._account_id,
            "request_hash": await self._body_hash(),
            "status_code": status_code,
            "response": content,
        }
        answer = {"status_code": status_code, "response": content}
        same = ("principal", "route", "key")
        await self._session.execute(
            insert(idempotency_key).values(row).on_conflict_do_update(index_elements=same, set_=answer)
        )

    @property
    def _route(self) -> str:
        return f"{self._request.method} {self._request.url.path}"

    async def _body_hash(self) -> bytes:
        return hashlib.sha256(await self._request.body()).digest()

    def _checked_key(self) -> str:
        if self._key is None:
            raise IdempotencyKeyMissing(next_action=f"Send a fresh random value in {HEADER}.")
        if not _GRAMMAR.fullmatch(self._key):
            raise IdempotencyKeyMissing("The key must be 1 to 128 visible ASCII characters.")
        return self._key

    async def _lock(self, route: str, key: str) -> bool:
        """Holds the key until the transaction ends; an advisory lock, so no half-made row is ever seen."""
        digest = hashlib.sha256("\0".join((self._principal, route, key)).encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        return bool(await self._session.scalar(select(func.pg_try_advisory_xact_lock(number))))

    async def _stored(self, route: str, key: str) -> Any:
        found = await self._session.execute(
            select(idempotency_key).where(
                idempotency_key.c.principal == self._principal,
                idempotency_key.c.route == route,
                idempotency_key.c.key == key,
            )
        )
        return found.one_or_none()


class SteppedIdempotency:
    """The guard of a request that asks somebody outside between two transactions."""

    def __init__(self, request: Request, database: Database, key: str | None) -> None:
        self._request = request
        self._database = database
        self._key = key

    async def run(
        self,
        *,
        status_code: int,
        intend: Callable[[AsyncSession], Awaitable[dict[str, Any]]],
        ask: Callable[[dict[str, Any]], Awaitable[R]],
        settle: Callable[[AsyncSession, dict[str, Any], R], Awaitable[Any]],
    ) -> Response:
        """`intend` writes down what is to be asked and returns it as JSON, once for this key; `ask` does so, and again
        should the first try not have come to its end; `settle` takes in what it was told and returns the answer."""
        async with self._transaction() as (session, guard):
            stored = await guard.locked()
            if stored is not None and stored.status_code != INTENDED:
                return _replay(stored)
            intent: dict[str, Any] = await intend(session) if stored is None else stored.response
            if stored is None:
                await guard.store(INTENDED, intent)
        told = await ask(intent)
        async with self._transaction() as (session, guard):
            stored = await guard.locked()
            if stored is not None and stored.status_code != INTENDED:
                return _replay(stored)
            content = jsonable_encoder(await settle(session, intent, told))
            await guard.store(status_code, content)
        return JSONResponse(content, status_code=status_code)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[tuple[AsyncSession, Idempotency]]:
        async with self._database.transaction(**context_of(self._request)) as session:
            yield session, Idempotency(self._request, session, self._key)


def _replay(stored: Any) -> Response:
    return JSONResponse(stored.response, status_code=stored.status_code, headers={REPLAYED: "true"})


def _without(content: Any, secret_fields: Collection[str]) -> Any:
    if not secret_fields or not isinstance(content, dict):
        return content
    return {name: None if name in secret_fields else value for name, value in content.items()}


KeyHeader = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[\x21-\x7e]+$"}),
    Header(alias=HEADER, description="A fresh random value per intended effect"),
]


async def _idempotency(request: Request, session: SessionDep, key: KeyHeader = None) -> Idempotency:
    return Idempotency(request, session, key)


async def _stepped(request: Request, database: DatabaseDep, key: KeyHeader = None) -> SteppedIdempotency:
    return SteppedIdempotency(request, database, key)


IdempotencyDep = Annotated[Idempotency, Depends(_idempotency)]
SteppedIdempotencyDep = Annotated[SteppedIdempotency, Depends(_stepped)]
