"""What services ask one another keeps to the workspace of the token."""

from __future__ import annotations

import pytest

from shared.contracts.calls import Call
from tests.isolation.internal import OF_WORKSPACES, check
from tests.isolation.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.asvs("8.4.1")
@pytest.mark.parametrize("call", OF_WORKSPACES, ids=lambda call: f"{call.method} {call.path}")
async def test_a_token_for_one_workspace_opens_nothing_of_another(whole: Stage, call: Call) -> None:
    assert not await check(whole.world, call)
