"""The audit chain: complete, in order, and broken by any change."""

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from shared import audit
from shared.audit.chain import first_break, row_hash
from shared.contracts.dns_events import DnsAuditRecorded
from shared.contracts.envelope import Envelope
from shared.db.database import Database
from shared.db.kit_tables import audit_entry, outbox
from shared.identity import Identity
from shared.ids import new_id

PERSON = Identity(
    kind="user", subject="usr_1", workspace_id=None, role="owner", permissions=frozenset(), scopes=frozenset(),
    session_id=None, auth_time=None, issuer="gateway", request_id="req_1",
)  # fmt: skip


async def record(database: Database, workspace: str, **more: Any) -> str:
    async with database.transaction(workspace) as session:
        return await audit.record(
            session,
            **{
                "workspace_id": workspace,
                "actor": PERSON,
                "action": "dns.zone.proven",
                "target": "zon_1",
                "data": {"name": "example.test", "ünicode": ["a", 1, None]},
                **more,
            },
        )


async def rows(database: Database, workspace: str) -> list[dict[str, Any]]:
    async with database.transaction(workspace) as session:
        found = await session.execute(
            select(audit_entry)
            .where(audit_entry.c.workspace_id == workspace)
            .order_by(audit_entry.c.sequence)
        )
        return [dict(row._mapping) for row in found]


async def test_rows_follow_from_one_another(app: Database) -> None:
    workspace = new_id("ws")
    for number in range(3):
        await record(app, workspace, reason=None if number else "because")
    chain = await rows(app, workspace)
    assert [row["sequence"] for row in chain] == [1, 2, 3]
    assert first_break(chain) is None


async def test_twenty_writers_make_one_chain(app: Database) -> None:
    workspace = new_id("ws")
    await asyncio.gather(*(record(app, workspace) for _ in range(20)))
    chain = await rows(app, workspace)
    assert [row["sequence"] for row in chain] == list(range(1, 21))
    assert first_break(chain) is None


@pytest.mark.asvs("16.4.2")
@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "denied"},
        {"reason": ""},
        {"actor_id": "usr_2"},
        {"data": {"name": "other.test"}},
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"action": "dns.zone.proven2", "target": "zon_"},
        {"previous_hash": bytes(32)},
        {"row_hash": bytes(32)},
        {"sequence": 9},
    ],
)
async def test_a_changed_row_breaks_the_chain_at_its_place(app: Database, change: dict[str, Any]) -> None:
    workspace = new_id("ws")
    for _ in range(3):
        await record(app, workspace)
    chain = await rows(app, workspace)
    chain[1] |= change
    assert first_break(chain) == 2


async def test_a_removed_row_breaks_the_chain(app: Database) -> None:
    workspace = new_id("ws")
    for _ in range(3):
        await record(app, workspace)
    chain = await rows(app, workspace)
    assert first_break([chain[0], chain[2]]) == 2
    assert first_break(chain[1:]) == 1


def test_fields_cannot_run_into_each_other() -> None:
    base = dict.fromkeys(
        ("id", "workspace_id", "sequence", "at", "actor_kind", "actor_id", "outcome", "reason", "data"), ""
    )
    one = row_hash(b"", {**base, "action": "ab", "target": "c"})
    other = row_hash(b"", {**base, "action": "a", "target": "bc"})
    assert one != other


async def test_each_row_is_published_as_its_services_fact(app: Database, worker: Database) -> None:
    workspace = new_id("ws")
    identifier = await record(app, workspace, outcome="denied", reason="no right")
    async with worker.transaction() as session:
        body = await session.scalar(select(outbox.c.body).where(outbox.c.subject == identifier))
    assert body is not None
    envelope = Envelope.model_validate_json(body)
    event = DnsAuditRecorded.model_validate(envelope.data)
    assert envelope.type == "dns.audit.recorded.v1"
    assert (event.outcome, event.reason, event.actor_kind, event.actor_id) == (
        "denied",
        "no right",
        "user",
        "usr_1",
    )
    assert event.row_hash == (await rows(app, workspace))[0]["row_hash"].hex()


async def test_what_acts_by_itself_is_named(app: Database) -> None:
    workspace = new_id("ws")
    await record(app, workspace, actor="sweeper")
    row = (await rows(app, workspace))[0]
    assert (row["actor_kind"], row["actor_id"]) == ("system", "sweeper")


async def test_a_key_is_not_a_person(app: Database) -> None:
    workspace = new_id("ws")
    await record(app, workspace, actor=dataclasses.replace(PERSON, kind="api_key", subject="key_1"))
    assert (await rows(app, workspace))[0]["actor_kind"] == "api_key"


async def test_an_action_of_no_service_is_refused(app: Database) -> None:
    with pytest.raises(ValueError, match="nobody"):
        await record(app, new_id("ws"), action="nobody.did.it")


@pytest.mark.asvs("2.3.3")
async def test_a_rolled_back_deed_leaves_no_row(app: Database) -> None:
    workspace = new_id("ws")

    async def fail() -> None:
        async with app.transaction(workspace) as session:
            await audit.record(session, workspace_id=workspace, actor="x", action="dns.a.b", target="t")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await fail()
    assert await rows(app, workspace) == []


@pytest.mark.asvs("16.4.2")
@pytest.mark.parametrize("role", ["app", "worker"])
@pytest.mark.parametrize(
    "statement", ["update audit_entry set reason = 'x'", "delete from audit_entry", "truncate audit_entry"]
)
async def test_nobody_changes_an_audit_row(
    role: str, statement: str, app: Database, worker: Database
) -> None:
    workspace = new_id("ws")
    await record(app, workspace)
    database = app if role == "app" else worker
    with pytest.raises(DBAPIError, match=r"permission denied|never changed"):
        async with database.transaction(workspace) as session:
            await session.execute(text(statement))


async def test_another_workspaces_chain_is_out_of_sight(app: Database) -> None:
    mine, theirs = new_id("ws"), new_id("ws")
    await record(app, theirs)
    async with app.transaction(mine) as session:
        assert await session.scalar(text("select count(*) from audit_entry")) == 0
        assert await session.scalar(text("select count(*) from audit_head")) == 0
