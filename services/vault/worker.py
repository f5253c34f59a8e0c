"""The vault's worker process: relay and consumers. It deletes and shreds; it never decrypts."""

from __future__ import annotations

import asyncio

from services.vault.bindings import BINDINGS
from services.vault.hardening import forbid_core_dumps
from services.vault.settings import WorkerSettings
from services.vault.wiring import build_resources
from shared.bus.worker import run_worker


def main() -> None:
    forbid_core_dumps()
    settings = WorkerSettings()
    asyncio.run(run_worker(settings, BINDINGS, resources=build_resources(settings)))


if __name__ == "__main__":
    main()
