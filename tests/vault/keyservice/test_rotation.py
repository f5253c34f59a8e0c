"""The vault over each store of root keys: rotation while readers go on, what it does when a KMS is away, and moving."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.faults import Fault
from services.vault.rotation.service import Report, Rotation
from shared.ids import new_id
from tests.fixtures.kms import Kms
from tests.vault.conftest import Keys, Vault, Workspace
from tests.vault.keyservice.conftest import Provider, of_keyring, of_transit

READERS = 4


@pytest.fixture
def keys(provider: Provider) -> Keys:
    """In place of the one with a keyring: the vault asks this provider's."""
    return provider.keys


@pytest.fixture
async def customers(vault: Vault) -> list[tuple[Workspace, str]]:
    """Workspaces with a mailbox each; no data keys of earlier tests, whose root keys are gone."""
    await vault.run("delete from data_key")
    made = [vault.workspace() for _ in range(3)]
    return [(each, await each.mailbox()) for each in made]


def rotation(vault: Vault, provider: Provider) -> Rotation:
    environment = vault.settings.environment
    return Rotation(vault.worker_database, provider.service, environment=environment, clock=vault.clock)


async def reveal(workspace: Workspace, mailbox_id: str) -> int:
    """Somebody new looks, and the data key is fetched anew."""
    workspace.vault.resources.cache.purge(workspace.id)
    person, why = new_id("usr"), {"reason": "in a test"}
    answer = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", why, account_id=person)
    return answer.status_code


async def test_the_root_key_is_rotated_while_readers_go_on(
    vault: Vault, provider: Provider, customers: list[tuple[Workspace, str]]
) -> None:
    old = (await provider.service.root_keys()).primary
    rotating = rotation(vault, provider)
    assert (await rotating.root_keys())[old] == len(customers)
    ended, answers, turns = asyncio.Event(), Counter[int](), [0] * READERS

    async def read(number: int) -> None:
        for one in itertools.islice(itertools.cycle(customers), number, None):
            if ended.is_set():
                return
            answers[await reveal(*one)] += 1
            turns[number] += 1

    readers = [asyncio.create_task(read(number)) for number in range(READERS)]
    try:
        await provider.rotate()
        assert await rotating.run() == Report(data_keys_rewrapped=len(customers))
        seen = list(turns)
        async with asyncio.timeout(60):
            while any(now < before + 2 for now, before in zip(turns, seen, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        ended.set()
        await asyncio.gather(*readers)
    assert set(answers) == {200}
    new = (await provider.service.root_keys()).primary
    counted = await rotating.root_keys()
    assert (counted[old], counted[new]) == (0, len(customers))
    assert await rotating.run() == Report()
    assert [set(await workspace.decrypts()) for workspace, _ in customers] == [{"reveal"}] * len(customers)


async def test_a_kms_that_is_away_is_bridged_for_five_minutes_and_then_503(
    vault: Vault, provider: Provider, customers: list[tuple[Workspace, str]]
) -> None:
    if provider.fault is None:
        pytest.skip("not applicable: tests/vault/data_keys has it for the keyring")
    workspace, mailbox_id = customers[0]
    provider.fault(Fault("error_before", status=503, count=1000))
    reason = {"reason": "in a test"}
    vault.clock.advance(timedelta(minutes=4, seconds=59))
    assert (await workspace.post(f"/mailboxes/{mailbox_id}/reveal", reason)).status_code == 200
    vault.clock.advance(timedelta(seconds=1))
    refused = await workspace.post(f"/mailboxes/{mailbox_id}/reveal", reason)
    assert (refused.status_code, refused.json()["code"]) == (503, "key_service_unavailable")
    assert [(row["outcome"], row["reason"]) for row in await workspace.audit()][-2:] == [
        ("ok", "in a test"),
        ("failed", "key_service_unavailable"),
    ]


async def test_a_disabled_root_key_is_a_503_and_is_not_waited_out_by_a_rotation(
    vault: Vault, provider: Provider, customers: list[tuple[Workspace, str]]
) -> None:
    if provider.kind == "keyring":
        pytest.skip("not applicable: a key of a keyring is there or not")
    await provider.disable()
    assert {await reveal(*one) for one in customers} == {503}
    await provider.enable()
    assert {await reveal(*one) for one in customers} == {200}


async def test_data_keys_move_from_one_store_to_another_and_the_first_can_go(
    vault: Vault, provider: Provider, customers: list[tuple[Workspace, str]], kms: Kms, tmp_path: Path
) -> None:
    """To transit, or from it to a keyring: the key service is started anew with both, later with the second alone."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = of_keyring(elsewhere) if provider.kind == "transit" else await of_transit(elsewhere, kms)
    settings = {**provider.settings, **target.settings, "root_keys": target.kind}
    await provider.keys.stop()
    await provider.serve(**settings)
    assert {await reveal(*one) for one in customers} == {200}
    assert await rotation(vault, provider).run() == Report(data_keys_rewrapped=len(customers))
    await provider.keys.stop()
    provider.settings = {**target.settings, "root_keys": target.kind}
    (provider.directory / "keys.sock").unlink(missing_ok=True)
    await provider.serve()
    assert {await reveal(*one) for one in customers} == {200}
    held = await provider.service.root_keys()
    rows = await vault.rows("select distinct root_key_id from data_key")
    assert [row["root_key_id"] for row in rows] == [held.primary]
