"""The same story from the cloud's own image: the installation path with packages over the wire."""

from __future__ import annotations

import pytest

from demo.__main__ import STEPS
from tests.e2e.conftest import Told

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("step", [step.id for step in STEPS[:4]])
def test_step_holds_on_a_server_that_was_installed_from_packages(stock: Told, step: str) -> None:
    assert step in stock.outcomes, f"not told, since one before it failed: {list(stock.outcomes)}"
    assert stock.outcomes[step].ok, "\n".join(stock.outcomes[step].proof)
