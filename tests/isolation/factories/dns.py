"""What dns holds of a customer."""

from __future__ import annotations

import secrets
from typing import Any

from shared.ids import new_id
from tests.isolation.factories.customers import LATER, NOW, models_of
from tests.isolation.world import Customer, Made, World


async def zone(world: World, one: Customer) -> Made:
    """Proven, with a plan to approve."""
    models = models_of("dns")
    zone_id, plan_id = new_id("zon"), new_id("pln")
    content: dict[str, list[Any]] = {
        name: [] for name in ("creates", "updates", "deletes", "conflicts", "unchanged", "foreign")
    }
    await world.add(
        "dns",
        models.Zone(
            id=zone_id,
            workspace_id=one.workspace_id,
            name=f"{secrets.token_hex(6)}.test",
            method="token",
            provider_token_id=new_id("ptk"),
            provider_zone_id=secrets.token_hex(16),
            challenge=secrets.token_hex(8),
            state="proven",
            name_servers=[],
            created_at=NOW,
            proven_at=NOW,
            due_at=LATER,
        ),
        models.RecordPlan(
            id=plan_id,
            workspace_id=one.workspace_id,
            zone_id=zone_id,
            state="ready",
            fingerprint="f",
            content=content,
            accepted=[],
            computed_at=NOW,
            expires_at=LATER,
        ),
    )
    return Made(zone_id, {"plan_id": plan_id})


async def named_server(world: World, one: Customer) -> Made:
    identifier = new_id("srv")
    hostname = f"s{identifier[-8:]}.mx.sendchief.test"
    row = models_of("dns").Nameset(
        server_id=identifier,
        workspace_id=one.workspace_id,
        generation=1,
        aggregate_version=1,
        hostname=hostname,
        withdrawn=False,
        desired={},
        emitted={},
        pending_since=NOW,
        due_at=LATER,
    )
    await world.add("dns", row)
    return Made(identifier)
