"""`Idempotency-Key`: a POST that creates may be repeated, and takes effect once.

The answer is stored in the same transaction as the effect. 400 without a key, 409 while the first request is still
at work, 422 when the key was used for another body; a replay carries `Idempotency-Replayed: true`. Keys belong to
one principal and route and are kept for a day. What fails stores nothing, so it can be tried again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Collection
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.encoders import jsonable_encoder
from pydantic import WithJsonSchema
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.responses import JSONResponse, Response

from shared.db.kit_tables import idempotency_key
from shared.errors import DomainError
from shared.identity.model import Identity
from shared.web.session import SessionDep

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_GRAMMAR = re.compile(r"[\x21-\x7e]{1,128}")


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

        `secret_fields` are top-level members that are shown this once: they are stored as null, and a replay has
        null there.
        """
        key = self._checked_key()
        route = f"{self._request.method} {self._request.url.path}"
        body_hash = hashlib.sha256(await self._request.body()).digest()
        if not await self._lock(route, key):
            raise IdempotencyInFlight(next_action="Wait a moment, then send the same request again.")
        stored = await self._stored(route, key)
        if stored is not None:
            if stored.request_hash != body_hash:
                raise IdempotencyKeyReused(next_action="Use a fresh key for a different request.")
            return JSONResponse(stored.response, status_code=stored.status_code, headers={REPLAYED: "true"})
        content = jsonable_encoder(await call())
        await self._session.execute(
            idempotency_key.insert().values(
                principal=self._principal,
                route=route,
                key=key,
                workspace_id=self._workspace_id,
                account_id=self._account_id,
                request_hash=body_hash,
                status_code=status_code,
                response=_without(content, secret_fields),
            )
        )
        return JSONResponse(content, status_code=status_code, headers=headers)

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


def _without(content: Any, secret_fields: Collection[str]) -> Any:
    if not secret_fields or not isinstance(content, dict):
        return content
    return {name: None if name in secret_fields else value for name, value in content.items()}


async def _idempotency(
    request: Request,
    session: SessionDep,
    key: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 128, "pattern": r"^[\x21-\x7e]+$"}),
        Header(alias=HEADER, description="A fresh random value per intended effect"),
    ] = None,
) -> Idempotency:
    return Idempotency(request, session, key)


IdempotencyDep = Annotated[Idempotency, Depends(_idempotency)]
