"""The commands and processes of the vault, apart from its key service."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from services.vault import admin, worker
from services.vault.app import create_app
from services.vault.bindings import BINDINGS
from services.vault.settings import ApiSettings, WorkerSettings
from shared.bus.binding import by_queue
from tests.vault.conftest import Vault


def environment(monkeypatch: pytest.MonkeyPatch, vault: Vault, url: str) -> None:
    monkeypatch.setenv("SC_DATABASE_URL", url)
    monkeypatch.setenv("SC_SOCKET", "/nonexistent/socket")
    monkeypatch.setenv("SC_KEY_SERVICE_SOCKET", str(vault.keys.socket))
    monkeypatch.setenv("SC_IDENTITY_TRUST_DIR", str(vault.trust.directory))


async def test_admin_prints_the_state_of_keys_and_no_material(
    vault: Vault, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = vault.workspace()
    await workspace.mailbox()
    environment(monkeypatch, vault, vault.database.worker_url)
    code = await asyncio.to_thread(admin.main, ["keys", "--workspace", workspace.id])
    printed = capsys.readouterr().out
    assert code == 0
    document = json.loads(printed)
    assert document["scope"] == workspace.id
    assert [key["state"] for key in document["data_keys"]] == ["active"]
    (row,) = await vault.rows("select wrapped, check_value from data_key where scope = :w", w=workspace.id)
    assert row["wrapped"].hex() not in printed
    assert row["check_value"].hex() not in printed


def test_admin_needs_a_command() -> None:
    with pytest.raises(SystemExit):
        admin.main([])


def test_the_worker_runs_every_binding(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []

    async def run_worker(
        settings: WorkerSettings, bindings: Any, *, resources: Any, tasks: Any, database: Any
    ) -> None:
        ran.append((settings.role, bindings, tasks))

    monkeypatch.setattr(worker, "run_worker", run_worker)
    environment(monkeypatch, vault, vault.database.worker_url)
    worker.main()
    assert ran[0][0] == "worker"
    assert ran[0][1] is BINDINGS
    assert [task.name for task in ran[0][2]] == ["rotation"]


async def test_the_application_is_made_from_the_environment(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch, vault, vault.database.app_url)
    app = create_app()
    assert app.state.settings.role == "api"
    await app.state.database.dispose()


def test_each_event_has_a_queue_of_its_own() -> None:
    assert len(by_queue(BINDINGS)) == len(BINDINGS)
    assert all(binding.service == "vault" for binding in BINDINGS)


def test_a_data_key_may_not_be_kept_longer_than_five_minutes(vault: Vault) -> None:
    values = vault.settings.model_dump() | {"data_key_seconds": 301}
    with pytest.raises(ValueError, match="300"):
        ApiSettings(**values)
