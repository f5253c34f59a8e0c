"""A fresh installation has no account, no password that another one has, and no debug switch."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from infra.local.databases import passwords
from shared.db.database import Database
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.services import app_of, available


@pytest.mark.asvs("6.3.2")
async def test_nobody_can_sign_in_to_a_fresh_installation(service_database: ServiceDatabases) -> None:
    database = Database(service_database("auth").worker_url)
    async with database.transaction() as session:
        for table in ("account", "api_key", "member", "signup"):
            assert (await session.execute(text(f"select count(*) from {table}"))).scalar_one() == 0  # noqa: S608
    await database.dispose()


@pytest.mark.asvs("13.2.3")
def test_each_role_of_each_installation_has_a_password_of_its_own() -> None:
    one, other = passwords({}), passwords({})
    assert len({*one.values(), *other.values()}) == len(one) + len(other)
    assert min(map(len, one.values())) >= 32
    assert passwords(one) == one


@pytest.mark.asvs("13.4.2")
@pytest.mark.parametrize("service", available())
def test_no_service_runs_with_a_debugger(service: str, trust: Trust, tmp_path: Path) -> None:
    app = app_of(service, trust, tmp_path)
    assert app.debug is False
    assert (app.docs_url, app.redoc_url) == (None, None)
