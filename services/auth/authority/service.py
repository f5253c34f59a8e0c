"""What gateways need to know, as a whole (snapshot) and one by one (introspection)."""

from __future__ import annotations

from datetime import timedelta

from services.auth.access_tokens import LIFETIME_SECONDS
from services.auth.api_keys import repository as api_keys
from services.auth.api_keys.format import KeyHasher, public_id_of
from services.auth.authority import repository
from services.auth.authority.schemas import ApiKeyQuestion, AuthoritySnapshot, Introspection, SessionQuestion
from shared.clock import Clock
from shared.db.database import Database, set_context

_REMEMBER = timedelta(seconds=LIFETIME_SECONDS + 60)
_NOTE_USE_EVERY = timedelta(minutes=1)
_INACTIVE = Introspection(active=False)


async def snapshot(database: Database, clock: Clock) -> AuthoritySnapshot:
    async with database.transaction() as session:
        found = await repository.snapshot(session, clock.now() - _REMEMBER)
    return AuthoritySnapshot.model_validate(found)


async def introspect_session(database: Database, clock: Clock, question: SessionQuestion) -> Introspection:
    async with database.transaction(account_id=question.account_id) as session:
        found = await repository.session_of(session, question.session_id, question.account_id)
        if found is None or found.revoked_at is not None or clock.now() >= found.expires_at:
            return _INACTIVE
        role = None
        if question.workspace_id is not None:
            role = await repository.role_of(session, question.workspace_id, question.account_id)
    return Introspection.model_validate(
        {
            "active": True,
            "account_id": question.account_id,
            "role": role,
            "workspace_id": question.workspace_id if role else None,
        }
    )


async def introspect_key(
    database: Database, clock: Clock, hasher: KeyHasher, question: ApiKeyQuestion
) -> Introspection:
    presented = question.key.get_secret_value()
    public_id = public_id_of(presented)
    if public_id is None:
        return _INACTIVE
    now = clock.now()
    async with database.transaction() as session:
        key = await api_keys.by_public_id(session, public_id)
        if key is None or not hasher.matches(presented, key.key_hash):
            return _INACTIVE
        if key.revoked_at is not None or key.expires_at <= now:
            return _INACTIVE
        await set_context(session, workspace_id=key.workspace_id, account_id=key.created_by)
        role = await repository.role_of(session, key.workspace_id, key.created_by)
        if role is None:
            return _INACTIVE
        await api_keys.touch(session, key.workspace_id, key.id, now, now - _NOTE_USE_EVERY)
        return Introspection.model_validate(
            {
                "active": True,
                "account_id": key.created_by,
                "role": role,
                "workspace_id": key.workspace_id,
                "key_id": key.id,
                "scopes": key.scopes,
                "allowed_networks": key.allowed_networks,
                "expires_at": key.expires_at,
            }
        )
