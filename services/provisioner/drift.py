"""All servers of a zone at a glance: the list that the sweeper reads anyway shows who was switched off, who lost an
address and who is missing. A suspicion only makes a server due; `steps/observe.py` looks at it alone and decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.models import CloudResource, Condition, Server
from services.provisioner.ports import CloudInstance
from services.provisioner.reconciler.lease import wake
from services.provisioner.steps.observe import Observe

MOST_AT_ONCE = 50
"""A list that shows nothing is the list's fault: the fleet is not sent to ask after itself all at once."""


async def notice(session: AsyncSession, zone: str, listed: Iterable[CloudInstance]) -> Sequence[str]:
    """Ids of the servers that are looked at again at once. Those that are known to be unwell are being looked at."""
    sound = {one.id: set(one.ip_ids) for one in listed if one.state == "running"}
    rows = await session.execute(
        select(CloudResource.server_id, CloudResource.external_id, CloudResource.request["ip_ids"])
        .join(Server, Server.id == CloudResource.server_id)
        .join(Condition, (Condition.server_id == Server.id) & (Condition.type == Observe.condition))
        .where(
            CloudResource.zone == zone,
            CloudResource.kind == "instance",
            CloudResource.state == "bound",
            Server.desired == "present",
            Condition.status == "true",
        )
    )
    suspects = [
        server_id for server_id, instance_id, ips in rows if not set(ips) <= sound.get(instance_id, set())
    ]
    for server_id in suspects[:MOST_AT_ONCE]:
        await look_again(session, server_id, Observe.condition)
    return suspects[:MOST_AT_ONCE]


async def look_again(session: AsyncSession, server_id: str, *conditions: str) -> Sequence[str]:
    """Makes rechecks due now, all of them when none is named; the conditions that will be looked at."""
    statement = update(Condition).where(Condition.server_id == server_id, Condition.due_at.is_not(None))
    if conditions:
        statement = statement.where(Condition.type.in_(conditions))
    changed = await session.scalars(
        statement.values(due_at=func.now())
        .returning(Condition.type)
        .execution_options(synchronize_session=False)
    )
    await wake(session, server_id)
    return changed.all()
