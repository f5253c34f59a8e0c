"""Data keys: made here, wrapped by the key service, held in memory briefly."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault import metrics
from services.vault.aead import KEY_BYTES
from services.vault.data_keys import repository
from services.vault.data_keys.cache import DataKeyCache
from services.vault.data_keys.versions import NewKey, is_due, start
from services.vault.envelope import check_value
from services.vault.errors import CheckValueMismatch, WorkspaceShredded
from services.vault.models import DataKey
from services.vault.ports import KeyContext, KeyService, WrappedKey
from services.vault.secret_bytes import SecretBytes
from shared.clock import Clock


@dataclass(frozen=True)
class OpenDataKey:
    version: int
    key: SecretBytes


class DataKeys:
    """`environment` is part of every wrap, so that a key of one installation opens nothing in another."""

    def __init__(
        self,
        key_service: KeyService,
        cache: DataKeyCache,
        *,
        environment: str,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._key_service = key_service
        self._cache = cache
        self._environment = environment
        self._clock = clock
        self._random = random_bytes

    async def for_encryption(self, session: AsyncSession, scope: str) -> OpenDataKey:
        """The active key, made or replaced when it is due; counts one encryption under it.

        Raises WorkspaceShredded for a scope that ended, KeyServiceUnavailable when it cannot be opened.
        """
        row = await repository.active(session, scope)
        while True:
            if row is None or self._is_due(row):
                row = await self._start_version(session, scope)
            key = await self._open(row)
            if await repository.count_encryption(session, scope, row.version):
                return OpenDataKey(row.version, key)
            row = await repository.active(session, scope)  # replaced or shredded a moment ago

    async def for_decryption(self, session: AsyncSession, scope: str, version: int) -> SecretBytes:
        """The key of that version. The row is looked at each time: no cached key outlives a shredding."""
        row = await repository.version(session, scope, version)
        if row is None or row.state == "shredded":
            self._cache.purge(scope)
            raise WorkspaceShredded("Nothing of this workspace can be decrypted any more.")
        return await self._open(row)

    def _is_due(self, row: DataKey) -> bool:
        return is_due(row, self._clock.now())

    async def _start_version(self, session: AsyncSession, scope: str) -> DataKey:
        """The next version, or the one that another transaction started while this one waited."""
        return await start(
            session,
            scope,
            replace=self._is_due,
            make=lambda version: self._make(scope, version),
            now=self._clock.now(),
        )

    async def _make(self, scope: str, version: int) -> NewKey:
        key = SecretBytes(self._random(KEY_BYTES))
        wrapped = await self._key_service.wrap(key, KeyContext(self._environment, scope, version))
        return NewKey(wrapped, check_value(key))

    async def _open(self, row: DataKey) -> SecretBytes:
        """A new key is asked for as well, once: what cannot be got back must not encrypt."""
        cached = self._cache.get(row.scope, row.version, row.check_value)
        if cached is not None:
            return cached
        context = KeyContext(self._environment, row.scope, row.version)
        wrapped = WrappedKey(row.root_key_id, row.wrapped or b"")
        key = await self._key_service.unwrap(wrapped, context)
        if not hmac.compare_digest(check_value(key), row.check_value):
            raise CheckValueMismatch(f"data key {row.scope} version {row.version}")
        metrics.DATA_KEYS_UNWRAPPED.inc()
        self._cache.put(row.scope, row.version, row.check_value, key)
        return key
