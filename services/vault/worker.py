"""The vault's worker process: relay, consumers, rotation and audit checkpoints. It deletes, shreds and rewraps; it
never decrypts: the key service gives it no key."""

from __future__ import annotations

import asyncio

from services.vault.audit_checkpoints.service import AuditCheckpoints
from services.vault.bindings import BINDINGS
from services.vault.hardening import forbid_core_dumps
from services.vault.settings import WorkerSettings
from services.vault.wiring import build_resources, build_rotation
from shared.bus.worker import Periodic, Task, run_worker
from shared.clock import SystemClock
from shared.db.database import Database
from shared.observability.logging import get_logger

ROTATION_SECONDS = 60.0
"""Between two looks at what is due; a key may get older than 90 days by this."""


_log = get_logger(__name__)


def main() -> None:
    forbid_core_dumps()
    settings = WorkerSettings()
    database = Database.from_settings(settings)
    asyncio.run(
        run_worker(
            settings,
            BINDINGS,
            resources=build_resources(settings),
            tasks=tasks_of(settings, database),
            database=database,
        )
    )


def tasks_of(settings: WorkerSettings, database: Database) -> list[Task]:
    rotation = build_rotation(settings, database)
    tasks: list[Task] = [Periodic(ROTATION_SECONDS, rotation.run, "rotation")]
    if settings.audit_checkpoint_dir is None or settings.audit_key_file is None:
        _log.warning(
            "no audit checkpoints are written: give SC_AUDIT_CHECKPOINT_DIR and SC_AUDIT_KEY_FILE to have them"
        )
        return tasks
    checkpoints = AuditCheckpoints(
        settings.audit_checkpoint_dir, settings.audit_key_file, database, SystemClock()
    )
    return [*tasks, Periodic(settings.audit_checkpoint_seconds, checkpoints.write, "audit checkpoints")]


if __name__ == "__main__":
    main()
