"""The self-test against a real host: all green on a sound one, and red for each thing that is broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.provisioner.hosts.self_test import ROWS
from tests.provisioner.hosts.breakages import Breakage, breakages
from tests.provisioner.hosts.conftest import self_test
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

BREAKAGES = breakages()


async def test_a_sound_host_passes_every_row(made_world: World, server: Server, tmp_path: Path) -> None:
    rows = await self_test(made_world, server, tmp_path)
    assert [row for row in rows.values() if not row.ok] == []
    assert set(rows) == set(ROWS)


async def test_every_row_has_a_breakage() -> None:
    assert sorted(breakage.row for breakage in BREAKAGES) == sorted(ROWS)


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.row)
async def test_a_breakage_turns_its_row_red(
    made_world: World, server: Server, tmp_path: Path, breakage: Breakage
) -> None:
    await breakage.do(made_world, server)
    try:
        broken = await self_test(made_world, server, tmp_path, only=(breakage.row,))
    finally:
        await breakage.undo(made_world, server)
    assert not broken[breakage.row].ok, broken[breakage.row]
    assert "could not be tried" not in broken[breakage.row].evidence or breakage.row == "imap_login"


async def test_after_all_repairs_every_row_passes_again(
    made_world: World, server: Server, tmp_path: Path
) -> None:
    rows = await self_test(made_world, server, tmp_path)
    assert [row for row in rows.values() if not row.ok] == []
