"""Accounts, memberships and sessions, straight into auth's database; a workspace that is being deleted."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, get_args

from sqlalchemy import delete

from shared.bus.testing import RecordingBus, envelope_for
from shared.clock import SystemClock
from shared.contracts.auth_events import WorkspaceDeletionRequested
from shared.contracts.envelope import EventData
from shared.ids import new_id
from tests.isolation.factories.customers import PASSWORD_HASH
from tests.isolation.world import Customer, World


def models(service: str) -> Any:
    return importlib.import_module(f"services.{service}.models")


def scopes() -> frozenset[str]:
    """Every scope that an API key can have."""
    return frozenset(get_args(importlib.import_module("services.auth.api_keys.schemas").Scope))


async def account(world: World) -> str:
    account_id = new_id("usr")
    await world.add(
        "auth",
        models("auth").Account(
            id=account_id,
            email=f"{account_id}@people.test",
            name="Guest",
            password_hash=PASSWORD_HASH,
            created_at=datetime.now(UTC),
        ),
    )
    return account_id


async def join(world: World, one: Customer, account_id: str, role: str) -> str:
    """The id of the membership."""
    row = models("auth").Member(
        id=new_id("mem"),
        workspace_id=one.workspace_id,
        account_id=account_id,
        role=role,
        joined_at=datetime.now(UTC),
    )
    await world.add("auth", row)
    return str(row.id)


async def part(world: World, one: Customer, account_id: str) -> None:
    """Ends the membership, and nothing else: what was given before is still in hands."""
    table = models("auth").Member
    async with world.databases["auth"].transaction() as session:
        await session.execute(
            delete(table).where(table.workspace_id == one.workspace_id, table.account_id == account_id)
        )


async def session(world: World, account_id: str, **fields: Any) -> str:
    """A sign-in that is alive, unless `revoked_at` says otherwise."""
    now = datetime.now(UTC)
    row = models("auth").Session(
        id=new_id("ses"),
        account_id=account_id,
        created_at=now,
        authenticated_at=now,
        idle_expires_at=now + timedelta(days=1),
        expires_at=now + timedelta(days=1),
        **fields,
    )
    await world.add("auth", row)
    return str(row.id)


async def begin_deletion(world: World, one: Customer) -> None:
    """Its owner asks for the end of the workspace, and every service that has to act hears of it."""
    body = {"confirm_name": one.name}
    answer = await world.ask("auth", "DELETE", f"/v1/workspaces/{one.workspace_id}", one, body)
    assert answer.status == 202, answer.body
    event = WorkspaceDeletionRequested(workspace_id=one.workspace_id)
    for service in ("provisioner", "dns"):
        await deliver(world, service, event)


async def deliver(world: World, service: str, event: EventData, **attributes: Any) -> None:
    """Hands an event to the service's handlers as its worker would."""
    bindings = importlib.import_module(f"services.{service}.bindings").BINDINGS
    bus = RecordingBus(world.databases[service], bindings, SimpleNamespace(clock=SystemClock()))
    await bus.deliver(event, envelope=envelope_for(event, **attributes))
