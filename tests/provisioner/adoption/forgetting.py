"""Books that have lost the machine of a server, as a backup from just after the payment has them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, select, update

from services.provisioner.adoption.service import Adoption, Order
from services.provisioner.models import (
    Address,
    CloudResource,
    Condition,
    Domain,
    Mailbox,
    ProvenZone,
    Server,
    StepLog,
)
from services.provisioner.steps.ssh_trust import fingerprint
from tests.provisioner.stage import ZONE, Stage

OPERATOR = "grace"


async def forget(stage: Stage, server_id: str) -> None:
    """The server's row is as new, and it has no other."""
    async with stage.database.transaction() as session:
        for entity in (Mailbox, Domain, StepLog, Condition, Address, CloudResource):
            await session.execute(delete(entity).where(entity.server_id == server_id))
        fresh = {
            column.name: column.server_default.arg
            for column in Server.__table__.columns
            if column.server_default is not None and column.name not in ("created_at", "fence")
        }
        empty = ("host_key", "facts", "install_run_id", "bundle_version", "names_digest", "ready_at",
                 "webmail_key_version", "commercial_type", "image", "lease_owner", "lease_until")  # fmt: skip
        label = "s0badf00d"
        await session.execute(
            update(Server)
            .where(Server.id == server_id)
            .values(**fresh, **dict.fromkeys(empty), label=label, hostname=f"{label}.mx.{ZONE}")
        )


async def forgotten(stage: Stage) -> Server:
    """A server in service whose books have lost its machine; as it was before."""
    server = await stage.paid()
    await stage.ready(server.id)
    before = await stage.server(server.id)
    await forget(stage, server.id)
    return before


async def held(stage: Stage, server_id: str) -> bool:
    found = await stage.condition(server_id, "AddressesReserved")
    return found is not None and found.reason == "MadeBefore"


async def prove_zone(stage: Stage, workspace_id: str, name: str) -> None:
    """As dns tells it."""
    async with stage.database.transaction() as session:
        zone = ProvenZone(zone_id=f"z_{name}", workspace_id=workspace_id, name=name, proven=True, version=1)
        await session.merge(zone)


def shown(stage: Stage, server_id: str) -> str:
    """The fingerprint of the key that the server's host shows."""
    return fingerprint(str(stage.outside.host.machines[server_id].shown_key))


def order(server_id: str, **fields: Any) -> Order:
    return Order(server_id=server_id, operator=OPERATOR, **fields)


async def adopt(stage: Stage, server_id: str, **fields: Any) -> list[dict[str, Any]]:
    """With the right fingerprint, unless something else is said."""
    given = fields or {"host_key": shown(stage, server_id)}
    return await Adoption(stage.database, stage.ports).carry_out(order(server_id, **given))


async def rows_of(stage: Stage, server_id: str) -> dict[str, list[str]]:
    """State → external ids of the server's rows."""
    found: dict[str, list[str]] = {}
    async with stage.database.transaction() as session:
        query = select(CloudResource).where(CloudResource.server_id == server_id).order_by(CloudResource.id)
        for row in await session.scalars(query):
            found.setdefault(row.state, []).append(str(row.external_id))
    return found


async def count(stage: Stage, entity: Any) -> int:
    async with stage.database.transaction() as session:
        return int(await session.scalar(select(func.count()).select_from(entity)) or 0)
