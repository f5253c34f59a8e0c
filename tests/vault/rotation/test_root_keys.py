"""A new root key: the data keys are rewrapped under it, and the old one can go when nothing hangs on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import cast

import pytest

from services.vault.envelope import check_value
from services.vault.errors import KeyRefused
from services.vault.keyservice import __main__ as command
from services.vault.keyservice import keyring
from services.vault.ports import KeyContext, WrappedKey
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.rotation.service import Report
from shared.contracts.auth_events import WorkspaceDeleted
from tests.vault.conftest import Vault
from tests.vault.rotation.conftest import (
    AS_ROOT,
    ROOT,
    WORKER_UID,
    Customer,
    KeyProcess,
    admin,
    decrypted,
    rotation,
)


@pytest.fixture
async def process(vault: Vault) -> KeyProcess:
    """The key service; the database has no data keys of earlier tests, whose keyrings are gone."""
    await vault.run("delete from data_key")
    return cast(KeyProcess, vault.keys)


async def customers(vault: Vault, count: int) -> list[Customer]:
    made = [Customer(vault.workspace(), {}) for _ in range(count)]
    for one in made:
        await one.add(2)
    return made


async def test_data_keys_move_and_the_old_root_key_is_removed_while_all_goes_on(
    vault: Vault, process: KeyProcess
) -> None:
    served, counted = await customers(vault, 5), decrypted()
    old, new = await process.new_root_key()
    assert await rotation(vault).root_keys() == {old: 5, new: 0}
    report = await rotation(vault, batch=2).run()
    assert report == Report(data_keys_rewrapped=5)
    assert decrypted() == counted
    status, found = await admin(vault, ["root-keys"])
    assert (status, found) == (0, {"data_keys": {old: 0, new: 5}})
    assert command.main(["remove-key", "--keyring", str(process.keyring), "--id", old]) == 0
    await process.reload()
    assert all([await one.all_open() for one in served])
    await served[0].add(1)


async def test_a_run_that_is_killed_is_resumed_by_the_next(vault: Vault, process: KeyProcess) -> None:
    served = await customers(vault, 5)
    old, new = await process.new_root_key()
    status, _ = await admin(vault, ["rotate"], SC_CRASHPOINT="rotation-rewrapped-data-key:3")
    assert status == -signal.SIGKILL
    assert await rotation(vault).root_keys() == {old: 3, new: 2}
    assert all([await one.all_open() for one in served])
    status, report = await admin(vault, ["rotate"])
    assert (status, report["data_keys_rewrapped"]) == (0, 3)
    assert await rotation(vault).root_keys() == {old: 0, new: 5}
    assert all([await one.all_open() for one in served])


async def test_a_data_key_that_does_not_open_is_reported_and_left(vault: Vault, process: KeyProcess) -> None:
    one, other = await customers(vault, 2)
    await vault.run("update data_key set wrapped = set_byte(wrapped, 20, 0) where scope = :w", w=one.id)
    (before,) = await vault.rows("select wrapped from data_key where scope = :w", w=one.id)
    await process.new_root_key()
    status, report = await admin(vault, ["rotate"])
    assert (status, report["data_keys_rewrapped"], report["damaged"]) == (1, 1, [f"{one.id}/1"])
    assert [before] == await vault.rows("select wrapped from data_key where scope = :w", w=one.id)
    assert await other.all_open()


async def test_a_key_that_is_shredded_meanwhile_does_not_come_back(vault: Vault, process: KeyProcess) -> None:
    (one,) = await customers(vault, 1)
    await process.new_root_key()

    class Interfering(LocalKeyService):
        async def rewrap(self, wrapped: WrappedKey, context: KeyContext) -> WrappedKey:
            answer = await super().rewrap(wrapped, context)
            await vault.bus.deliver(WorkspaceDeleted(workspace_id=one.id))
            return answer

    report = await rotation(vault, key_service=Interfering(process.socket)).run()
    assert report == Report()
    (row,) = await vault.rows("select state, wrapped from data_key where scope = :w", w=one.id)
    assert (row["state"], row["wrapped"]) == ("shredded", None)


def test_the_primary_is_not_removed_nor_a_key_that_is_not_there(process: KeyProcess) -> None:
    before = process.keyring.read_bytes()
    for wrong in (process.primary(), "rk_other"):
        assert command.main(["remove-key", "--keyring", str(process.keyring), "--id", wrong]) == 1
    assert process.keyring.read_bytes() == before


async def test_a_keyring_that_is_not_sound_is_not_taken_over(vault: Vault, process: KeyProcess) -> None:
    (one,) = await customers(vault, 1)
    process.keyring.chmod(0o644)
    process.process.send_signal(signal.SIGHUP)
    assert await one.all_open()
    process.keyring.chmod(0o600)
    assert keyring.load(process.keyring).primary == process.primary()
    assert process.process.poll() is None


ASK = """
import asyncio, sys
from pathlib import Path
from services.vault.envelope import check_value
from services.vault.errors import KeyServiceDenied
from services.vault.ports import KeyContext, WrappedKey
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.secret_bytes import SecretBytes
service, context = LocalKeyService(Path(sys.argv[1])), KeyContext("test", "ws_a", 1)
made, _ = asyncio.run(service.make(context))
for refused in (service.unwrap(made, context), service.wrap(SecretBytes(bytes(32)), context)):
    try:
        asyncio.run(refused)
        print("answered")
    except KeyServiceDenied:
        print("denied")
"""


def test_who_may_rotate_is_given_no_key(process: KeyProcess) -> None:
    if not AS_ROOT:
        pytest.skip("changing uids takes root")
    done = subprocess.run(
        [sys.executable, "-B", "-c", ASK, str(process.socket)],
        cwd=ROOT, user=WORKER_UID, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    refused = [line for line in done.stdout.splitlines() if "the key service does not serve" not in line]
    assert refused == ["denied", "denied"]


async def test_a_made_key_opens_for_its_context_only_and_fits_its_check_value(process: KeyProcess) -> None:
    service, context = LocalKeyService(process.socket), KeyContext("test", "ws_a", 1)
    made, value = await service.make(context)
    assert check_value(await service.unwrap(made, context)) == value
    with pytest.raises(KeyRefused):
        await service.unwrap(made, KeyContext("test", "ws_a", 2))
