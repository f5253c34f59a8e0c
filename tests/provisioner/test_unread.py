"""What stands for the other services hears of every event, as they do."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.bus import outbox
from shared.contracts.envelope import Envelope
from shared.contracts.provisioner_events import AddressReleased
from shared.db.kit_tables import outbox as outbox_rows
from tests.provisioner.stage import Stage
from tests.provisioner.unread import Unread


async def emit(session: AsyncSession) -> str:
    event = AddressReleased(workspace_id="ws", server_id="srv", address_id="adr", address="198.51.100.7")
    return await outbox.emit(session, event, subject="adr", workspace_id="ws", aggregate_version=1)


async def begun(stage: Stage) -> Unread:
    """One that has read all there is. Numbers go on where an earlier test has come to."""
    async with stage.database.transaction() as session:
        await emit(session)
        number = await session.scalar(select(func.max(outbox_rows.c.seq)))
    return Unread(stage.database, seen=number or 0)


async def read(unread: Unread) -> list[str]:
    return [Envelope.model_validate_json(body).id for body in await unread.read()]


async def test_an_event_that_commits_after_one_with_a_higher_number_is_read_too(stage: Stage) -> None:
    unread = await begun(stage)
    known = unread.seen
    async with stage.database.transaction() as slow:
        first = await emit(slow)
        async with stage.database.transaction() as quick:
            second = await emit(quick)
        assert await read(unread) == [second]
    assert await read(unread) == [first]
    assert (await read(unread), unread.seen) == ([], known + 2)


async def test_a_number_that_was_rolled_back_is_not_waited_for_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = await begun(stage)
    known = unread.seen
    async with stage.database.transaction() as given_up:
        await emit(given_up)
        await given_up.rollback()
    async with stage.database.transaction() as session:
        event = await emit(session)
    assert (await read(unread), unread.seen) == ([event], known)
    monkeypatch.setattr("tests.provisioner.unread.OPEN_SECONDS", 0.0)
    assert (await read(unread), unread.seen) == ([], known + 2)
