"""What auth forgets by age, and what it does not."""

from __future__ import annotations

from datetime import timedelta

import httpx
from sqlalchemy import text

from services.auth.forgetting import KEEP
from shared.bus.housekeeping import sweep
from shared.contracts.provisioner_events import ServerRecovered
from tests.auth.stage import PASSWORD, Person, Stage
from tests.auth.test_threats import threat

NEVER_CHANGED = ("security_event", "threat")
"""Not even the worker may: these are on record, and have tests of their own."""


async def count(auth: Stage, table: str) -> int:
    async with auth.worker.database.transaction() as session:
        found = await session.execute(text(f"select count(*) from {table}"))  # noqa: S608
        total: int = found.scalar_one()
    return total


async def leave_a_delivery(auth: Stage, person: Person) -> None:
    workspace_id = await auth.workspace(person)
    made = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/webhooks",
        json={"url": "https://hooks.customer.com/", "events": ["server.recovered"]},
        headers=auth.as_user(person.id, workspace_id),
    )
    assert made.status_code == 201
    await auth.bus.deliver(
        ServerRecovered(workspace_id=workspace_id, server_id="srv_1", hostname="s1.mx.sendchief.test")
    )


async def leave_traces(auth: Stage, person: Person) -> httpx.Response:
    """A row in each of the tables: two sign-ins, the last from a device that is new, wishes, a failure, a threat, a
    delivery."""
    headers = auth.as_user(person.id, session_id=person.session_id)
    await auth.client.post("/v1/auth/password-reset", json={"email": person.email})
    body = {"email": f"new{person.email}", "password": PASSWORD}
    await auth.client.post("/v1/me/email", json=body, headers=headers)
    wrong = {"email": person.email, "password": "wrong wrong wrong"}
    await auth.client.post("/v1/auth/sessions", json=wrong)
    await auth.bus.deliver(threat(None))
    await leave_a_delivery(auth, person)
    auth.client.cookies.clear()
    return await auth.client.post("/v1/auth/sessions", json={"email": person.email, "password": PASSWORD})


async def test_old_rows_go_and_young_ones_and_accounts_stay(auth: Stage) -> None:
    person = await auth.person()
    assert (await leave_traces(auth, person)).status_code == 201
    before = {table: await count(auth, table) for table in KEEP}
    assert all(before.values()), before
    await sweep(auth.worker.database, KEEP)
    for table in ("session", "security_event", "email_change"):
        assert await count(auth, table) == before[table]
    async with auth.worker.database.transaction() as session:
        for table, (column, age) in KEEP.items():
            if table not in NEVER_CHANGED:
                await session.execute(
                    text(f"update {table} set {column} = now() - cast(:age as interval)"),  # noqa: S608
                    {"age": age + timedelta(minutes=1)},
                )
    accounts = await count(auth, "account")
    removed = await sweep(auth.worker.database, KEEP)
    for table in KEEP:
        if table not in NEVER_CHANGED:
            assert (removed[table] > 0, await count(auth, table)) == (True, 0), table
    assert await count(auth, "refresh_token") == 0
    assert await count(auth, "account") == accounts
