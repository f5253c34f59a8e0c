"""Functions below a request keep to the workspace that they are told, with nothing but their own conditions."""

from __future__ import annotations

import pytest

from tests.isolation.direct import check_foreign, check_own
from tests.isolation.functions import FOREIGN, OWN
from tests.isolation.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.asvs("8.2.2")
@pytest.mark.parametrize("name", FOREIGN)
async def test_what_is_anothers_is_neither_found_nor_changed(whole: Stage, name: str) -> None:
    assert not await check_foreign(whole.world, name)


@pytest.mark.parametrize("name", OWN)
async def test_what_is_ones_own_is_found_whatever_others_have(whole: Stage, name: str) -> None:
    assert not await check_own(whole.world, name)
