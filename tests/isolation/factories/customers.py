"""What every customer has from the start, and what all factories use."""

from __future__ import annotations

import importlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from passlib.hash import argon2

from shared.ids import new_id
from tests.isolation.world import Customer, World

NOW = datetime.now(UTC)
LATER = NOW + timedelta(days=1)
PASSWORD = "of everybody here 4711"
PASSWORD_HASH = argon2.using(memory_cost=8, rounds=1, parallelism=1).hash(PASSWORD)  # type: ignore[no-untyped-call]


def models_of(service: str) -> Any:
    return importlib.import_module(f"services.{service}.models")


def customer(name: str) -> Customer:
    return Customer(new_id("ws"), new_id("usr"), f"Customer {name} {secrets.token_hex(4)}")


async def admit(world: World, one: Customer) -> None:
    """What every customer has from the start: an account and a workspace with him as its owner."""
    models = models_of("auth")
    await world.add(
        "auth",
        models.Account(
            id=one.account_id,
            email=f"{one.account_id}@people.test",
            name=one.name,
            password_hash=PASSWORD_HASH,
            created_at=NOW,
        ),
        models.Workspace(id=one.workspace_id, name=one.name, created_by=one.account_id, created_at=NOW),
        models.Member(
            id=new_id("mem"),
            workspace_id=one.workspace_id,
            account_id=one.account_id,
            role="owner",
            joined_at=NOW,
        ),
    )
