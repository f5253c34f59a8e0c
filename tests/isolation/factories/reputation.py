"""What reputation holds of a customer."""

from __future__ import annotations

import secrets

from shared.ids import new_id
from tests.isolation.factories.customers import models_of
from tests.isolation.world import Customer, Made, World


async def watched_server(world: World, one: Customer) -> Made:
    identifier = new_id("srv")
    row = models_of("reputation").Address(
        id=new_id("adr"),
        workspace_id=one.workspace_id,
        server_id=identifier,
        address=f"198.51.100.{secrets.randbelow(250) + 1}",
        family=4,
        attempt=1,
        state="live",
    )
    await world.add("reputation", row)
    return Made(identifier)
