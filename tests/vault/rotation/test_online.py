"""Readers and writers while data keys and root keys are rotated under them."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from datetime import timedelta
from typing import cast

from shared.contracts.provisioner_events import MailboxCredentialApplied
from shared.ids import new_id
from tests.vault.rotation.conftest import Customer, KeyProcess, decrypted, rotation

READERS, WRITERS, ROTATIONS = 8, 4, 4


async def test_readers_and_writers_run_through_it_without_a_failure(customer: Customer) -> None:
    """Each rotation: a new data key, all secrets moved, the emptied keys destroyed, a new root key, all keys moved."""
    await customer.add(60)
    vault, known = customer.vault, list(customer.passwords)
    process = cast(KeyProcess, vault.keys)
    await vault.run("delete from data_key where scope <> :w", w=customer.id)
    ended, answers, turns = asyncio.Event(), Counter[str](), [0] * READERS

    async def an_hour_later() -> None:
        """The clock jumps, and whoever read a row before has come to its end, as in an hour."""
        before = list(turns)
        while any(turn < seen + 2 for turn, seen in zip(turns, before, strict=True)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        vault.clock.advance(timedelta(minutes=61))

    async def read(number: int) -> None:
        for turn in itertools.count(number):
            if ended.is_set():
                return
            mailbox_id = known[turn % len(known)]
            # Somebody else each time: the clock jumps over the hour in which one person may read so much.
            answer = await customer.workspace.post(
                f"/mailboxes/{mailbox_id}/reveal", {"reason": "in a test"}, account_id=new_id("usr")
            )
            right = answer.is_success and answer.json()["password"] == customer.passwords[mailbox_id]
            answers["read" if right else f"reading failed: {answer.status_code}"] += 1
            turns[number] += 1
            if turn % 5 == 0:
                vault.resources.cache.purge(customer.id)  # as a process does that has just started

    async def write() -> None:
        while not ended.is_set():
            mailbox_id = new_id("mbx")
            answer = await customer.workspace.put_mailbox(mailbox_id, f"{mailbox_id[4:]}@example-a.test")
            if answer.is_success:
                await vault.bus.deliver(
                    MailboxCredentialApplied(workspace_id=customer.id, mailbox_id=mailbox_id, version=1)
                )
            answers["written" if answer.is_success else f"writing failed: {answer.status_code}"] += 1

    tasks = [asyncio.create_task(read(n)) for n in range(READERS)]
    tasks += [asyncio.create_task(write()) for _ in range(WRITERS)]
    before = decrypted()
    try:
        for _ in range(ROTATIONS):
            rotating = rotation(vault, batch=5)
            await rotating.start_version(customer.id)
            assert (await rotating.run()).secrets_rewrapped >= 60
            await asyncio.wait_for(an_hour_later(), 60)
            old, _ = await process.new_root_key()
            await rotating.run()
            assert (await rotating.root_keys())[old] == 0
    finally:
        ended.set()
        await asyncio.gather(*tasks)
    assert set(answers) == {"read", "written"}, answers
    after = decrypted()
    assert after["reveal"] - before.get("reveal", 0) == answers["read"]
    assert {purpose: n for purpose, n in after.items() if purpose != "reveal"} == {
        purpose: n for purpose, n in before.items() if purpose != "reveal"
    }
    assert [state for _, state in await customer.keys()][-1] == "active"
    assert (1, "retired") in await customer.keys()
