"""The vault's worker process: relay, consumers and audit checkpoints. It deletes and shreds; it never decrypts."""

from __future__ import annotations

import asyncio

from services.vault.audit_checkpoints.service import AuditCheckpoints
from services.vault.bindings import BINDINGS
from services.vault.hardening import forbid_core_dumps
from services.vault.settings import WorkerSettings
from services.vault.wiring import build_resources
from shared.bus.worker import Periodic, Task, run_worker
from shared.clock import SystemClock
from shared.db.database import Database


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
    if settings.audit_checkpoint_dir is None or settings.audit_key_file is None:
        return []
    checkpoints = AuditCheckpoints(
        settings.audit_checkpoint_dir, settings.audit_key_file, database, SystemClock()
    )
    return [Periodic(settings.audit_checkpoint_seconds, checkpoints.write, "audit checkpoints")]


if __name__ == "__main__":
    main()
