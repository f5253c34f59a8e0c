"""Somebody whose second factor is on."""

from __future__ import annotations

import pytest

from tests.auth.second_factor.authenticator import FACTOR, App, started
from tests.auth.stage import Stage


@pytest.fixture
async def app(auth: Stage) -> App:
    """With the factor on."""
    app = await started(auth)
    answer = await app.ask("POST", f"{FACTOR}/confirm", code=app.code())
    assert answer.status_code == 200, answer.text
    app.recovery_codes = answer.json()["recovery_codes"]
    return app
