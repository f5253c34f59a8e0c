"""Rotation while everything goes on: keys are rewrapped in small batches with rests, and no secret is decrypted.

Where it stands is in the rows themselves (which version wraps a secret, which root key wraps a data key), so a run that
was killed is resumed by any later one, and two at the same time do no harm. Keys stay in the key service; what comes
here is wrapped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from services.vault import envelope, metrics
from services.vault.data_keys import repository as data_keys
from services.vault.data_keys.versions import NewKey, is_due, start
from services.vault.errors import KeyRefused, RootKeyDisabled, WorkspaceShredded
from services.vault.models import DataKey, Secret
from services.vault.ports import KeyContext, RotatingKeyService, SecretWrap, WrappedKey
from services.vault.rotation import repository
from services.vault.rotation.repository import Move
from services.vault.secrets.service import binding_of
from shared.clock import Clock
from shared.crashpoint import crashpoint
from shared.db.database import Database
from shared.observability.logging import get_logger

BATCH = 100
REST = 1.0
"""Seconds of doing nothing for each second of work: readers share the cores and the key service with a rotation."""
UNUSED_BEFORE_RETIRED = timedelta(hours=1)
"""Longer than any reader takes from reading a secret's row to asking for its key."""

DOES_NOT_OPEN = (KeyRefused, RootKeyDisabled)
"""What is wrong with one data key or its old root key, and keeps no other from being rotated."""

logger = get_logger(__name__)


@dataclass
class Report:
    """What one run did. `damaged` are secrets and data keys that did not open; they were left as they are."""

    versions_started: int = 0
    secrets_rewrapped: int = 0
    versions_retired: int = 0
    data_keys_rewrapped: int = 0
    damaged: list[str] = field(default_factory=list)


class Rotation:
    def __init__(
        self,
        database: Database,
        key_service: RotatingKeyService,
        *,
        environment: str,
        clock: Clock,
        batch: int = BATCH,
        rest: float = REST,
    ) -> None:
        self._database = database
        self._key_service = key_service
        self._environment = environment
        self._clock = clock
        self._batch = batch
        self._rest = rest

    async def run(self, scope: str | None = None) -> Report:
        """All that is due, of one scope or of all: new versions, secrets, old versions, data keys.

        Raises KeyServiceUnavailable when the key service is away; what was done until then stays done.
        """
        report = Report()
        await self._start_due(report, scope)
        async with self._database.transaction(workspace_id=scope) as session:
            old = await repository.old_versions(session, scope)
        for row in old:
            await self._empty(report, row)
            await self._retire(report, row)
        await self._rehang(report, scope)
        return report

    async def start_version(self, scope: str) -> int:
        """A new data key now, due or not, as when the old one may be known to somebody. Raises WorkspaceShredded."""
        return (await self._start(scope, force=True)).version

    async def root_keys(self) -> dict[str, int]:
        """How many data keys hang on each root key; one that the key service holds and nothing hangs on has 0."""
        held = await self._key_service.root_keys()
        async with self._database.transaction() as session:
            return dict.fromkeys(held.ids, 0) | await repository.by_root_key(session)

    async def _start_due(self, report: Report, scope: str | None) -> None:
        async with self._database.transaction(workspace_id=scope) as session:
            due = await repository.due_scopes(session, self._clock.now())
        for one in due:
            if scope not in (None, one):
                continue
            try:
                await self._start(one, force=False)
            except WorkspaceShredded:
                continue  # it ended a moment ago
            report.versions_started += 1

    async def _start(self, scope: str, *, force: bool) -> DataKey:
        async def make(version: int) -> NewKey:
            return NewKey(*await self._key_service.make(KeyContext(self._environment, scope, version)))

        now = self._clock.now()
        async with self._database.transaction(workspace_id=scope) as session:
            row = await start(
                session, scope, replace=lambda row: force or is_due(row, now), make=make, now=now
            )
        logger.info("data key started", scope=scope, version=row.version)
        return row

    async def _empty(self, report: Report, old: DataKey) -> None:
        """Moves the secrets under `old` to the active version, in the order of their nonces; one pass."""
        after = b""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            async with self._database.transaction(workspace_id=old.scope) as session:
                rows = await repository.batch(session, old.scope, old.version, after, self._batch)
                new = await data_keys.active(session, old.scope) if rows else None
                if new is None or not await repository.reserve(session, old.scope, new.version, len(rows)):
                    return  # nothing left; or replaced or shredded just now, which the next run looks at
            after = rows[-1].wrap_nonce
            moves = await self._rewrapped(report, rows, old, new)
            if moves is None:
                return
            crashpoint("rotation-rewrapped")
            async with self._database.transaction(workspace_id=old.scope) as session:
                moved = await repository.move(session, old.scope, old.version, new.version, moves)
            crashpoint("rotation-moved")
            report.secrets_rewrapped += moved
            metrics.REWRAPPED.labels("secret").inc(moved)
            logger.info(
                "secrets rewrapped",
                scope=old.scope,
                old=old.version,
                new=new.version,
                moved=moved,
                of=len(rows),
            )
            await asyncio.sleep(self._rest * (loop.time() - began))

    async def _rewrapped(
        self, report: Report, rows: Sequence[Secret], old: DataKey, new: DataKey
    ) -> list[Move] | None:
        """None when one of the two data keys does not open, and so nothing does."""
        wraps = [
            SecretWrap(binding_of(row, self._environment).secret_data(), envelope.wrap_of(row.ciphertext))
            for row in rows
        ]
        try:
            answers = await self._key_service.rewrap_secrets(self._named(old), self._named(new), wraps)
        except DOES_NOT_OPEN:
            self._damaged(report, old)
            return None
        moves: list[Move] = []
        for row, wrap in zip(rows, answers, strict=True):
            if wrap is None:
                report.damaged.append(row.id)
                metrics.REWRAP_REFUSED.inc()
                logger.error(
                    "a secret's key does not open", scope=old.scope, secret=row.id, version=old.version
                )
                continue
            ciphertext = envelope.with_wrap(row.ciphertext, wrap, new.version)
            moves.append(Move(row.id, row.wrap_nonce, envelope.wrap_nonce(ciphertext), ciphertext))
        return moves

    def _damaged(self, report: Report, row: DataKey) -> None:
        name = f"{row.scope}/{row.version}"
        if name not in report.damaged:
            report.damaged.append(name)
            metrics.REWRAP_REFUSED.inc()
            logger.error("a data key does not open", scope=row.scope, version=row.version)

    def _named(self, row: DataKey) -> tuple[WrappedKey, KeyContext]:
        context = KeyContext(self._environment, row.scope, row.version)
        return WrappedKey(row.root_key_id, row.wrapped or b""), context

    async def _retire(self, report: Report, old: DataKey) -> None:
        """Destroys the version an hour after the last secret left it."""
        now = self._clock.now()
        async with self._database.transaction(workspace_id=old.scope) as session:
            if await repository.is_used(session, old.scope, old.version):
                await repository.mark_unused(session, old.scope, old.version, None)
            elif old.unused_since is None:
                await repository.mark_unused(session, old.scope, old.version, now)
            elif await repository.destroy(session, old.scope, old.version, now - UNUSED_BEFORE_RETIRED):
                report.versions_retired += 1
                logger.info("data key retired", scope=old.scope, version=old.version)

    async def _rehang(self, report: Report, scope: str | None) -> None:
        """Data keys of one scope or of all from older root keys to the primary one."""
        primary = (await self._key_service.root_keys()).primary
        after = ("", 0)
        while True:
            async with self._database.transaction() as session:
                rows = await repository.under_other_root_keys(session, primary, scope, after, self._batch)
            if not rows:
                return
            for row in rows:
                await self._rehang_one(report, row)
            after = (rows[-1].scope, rows[-1].version)

    async def _rehang_one(self, report: Report, row: DataKey) -> None:
        wrapped, context = self._named(row)
        try:
            again = await self._key_service.rewrap(wrapped, context)
        except DOES_NOT_OPEN:
            self._damaged(report, row)
            return
        crashpoint("rotation-rewrapped-data-key")
        async with self._database.transaction(workspace_id=row.scope) as session:
            if await repository.rehang(session, row, again.root_key_id, again.ciphertext):
                report.data_keys_rewrapped += 1
                metrics.REWRAPPED.labels("data_key").inc()
