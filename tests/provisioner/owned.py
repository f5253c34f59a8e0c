"""What the cloud has of ours, and what belongs to one server."""

from __future__ import annotations

from sqlalchemy import select

from services.provisioner.models import CloudResource
from tests.provisioner.stage import Stage

ONE_OF_EACH = {"instance": 1, "ip": 2, "volume": 1, "security_group": 1}


async def unowned(stage: Stage) -> set[str]:
    """Things at the cloud that no bound row knows."""
    async with stage.database.transaction() as session:
        rows = await session.scalars(select(CloudResource.external_id).where(CloudResource.state == "bound"))
        known = {str(row) for row in rows}
    return {key for keys in stage.owned().values() for key in keys} - known


def counts(stage: Stage) -> dict[str, int]:
    return {kind: len(ids) for kind, ids in stage.owned().items()}


async def one_server_and_nothing_else(stage: Stage, server_id: str) -> None:
    assert counts(stage) == ONE_OF_EACH
    assert await unowned(stage) == set()
    assert sum(stage.outside.cloud.powered.values()) == 1
    assert stage.outside.host.installs_started[server_id] == 1
