"""The worker's signing of the audit chains' heads, at each turn of its schedule."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select

from shared.audit.checkpoints import CheckpointTaken, CheckpointWriter, Head, load_private_key
from shared.clock import Clock
from shared.db.database import Database
from shared.db.kit_tables import audit_head
from shared.observability.logging import get_logger

SERVICE = "vault"

_log = get_logger(__name__)


class AuditCheckpoints:
    def __init__(self, directory: Path, key_file: Path, database: Database, clock: Clock) -> None:
        self._directory = directory
        self._key_file = key_file
        self._database = database
        self._clock = clock
        self._writer: CheckpointWriter | None = None

    async def write(self) -> Path | None:
        """A file of the heads that moved since the last one, or None when none did.

        Of two workers one writes a file; the other reads it before its next turn. Raises CheckpointWrong when the
        directory holds something that this key did not sign: nothing is then written on top of it.
        """
        if self._writer is None:
            self._writer = await asyncio.to_thread(self._open)
        writer = self._writer
        async with self._database.transaction() as session:
            rows = await session.execute(select(audit_head))
            heads = [Head(row.workspace_id, row.sequence, bytes(row.row_hash)) for row in rows]
        for head in writer.fallen_back(heads):
            _log.error(
                "an audit chain is not what was signed",
                workspace_id=head.workspace_id,
                sequence=head.sequence,
            )
        moved = writer.moved(sorted(heads, key=lambda head: head.workspace_id))
        if not moved:
            return None
        try:
            return await asyncio.to_thread(writer.write, moved, self._clock.now())
        except CheckpointTaken:
            self._writer = None
            return None

    def _open(self) -> CheckpointWriter:
        return CheckpointWriter(self._directory, load_private_key(self._key_file), SERVICE)
