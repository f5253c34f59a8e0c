"""Receipts of the services that hold something of a workspace."""

from __future__ import annotations

from services.auth.deletion import service
from services.auth.wiring import WorkerResources
from shared.bus.binding import HandlerContext
from shared.contracts import dns_events, provisioner_events
from shared.contracts.vault_events import WorkspaceShredded


async def on_cloud_emptied(context: HandlerContext, event: provisioner_events.WorkspaceEmptied) -> None:
    resources: WorkerResources = context.resources
    await service.receive_receipt(context.session, resources.clock.now(), event.workspace_id, "provisioner")


async def on_zones_emptied(context: HandlerContext, event: dns_events.WorkspaceEmptied) -> None:
    resources: WorkerResources = context.resources
    await service.receive_receipt(context.session, resources.clock.now(), event.workspace_id, "dns")


async def on_shredded(context: HandlerContext, event: WorkspaceShredded) -> None:
    resources: WorkerResources = context.resources
    await service.receive_receipt(
        context.session, resources.clock.now(), event.workspace_id, "vault", data_keys=event.data_keys
    )
