"""Webhooks of a workspace, their secrets and deliveries."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.auth.webhooks import service
from services.auth.webhooks.schemas import (
    ChangeWebhook,
    CreateWebhook,
    DeliveryView,
    RotateSecret,
    WebhookView,
    WebhookWithSecret,
)
from services.auth.wiring import Wired
from shared.ids import DeliveryId, WebhookId, WorkspaceId
from shared.web.access import IdentityDep, requires
from shared.web.conditional import IfMatchDep, etag
from shared.web.idempotency import IdempotencyDep
from shared.web.pagination import Page, PageDep
from shared.web.session import SessionDep

router = APIRouter(tags=["Webhooks"])
_ALL = "/v1/workspaces/{workspace_id}/webhooks"
_ONE = _ALL + "/{webhook_id}"
STEP_UP = 300


@router.post(
    _ALL,
    status_code=201,
    response_model=WebhookWithSecret,
    dependencies=[requires("webhooks.write", step_up=STEP_UP)],
)
async def create_webhook(
    workspace_id: WorkspaceId,
    request: CreateWebhook,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Makes a webhook. Its secret is in this answer and nowhere else; a repeated request answers with `secret` null."""
    return await idempotency.run(
        status_code=201,
        call=lambda: wired.webhooks.create(session, identity, workspace_id, request),
        secret_fields={"secret"},
    )


@router.get(_ALL, dependencies=[requires("webhooks.read")])
async def list_webhooks(workspace_id: WorkspaceId, session: SessionDep, page: PageDep) -> Page[WebhookView]:
    return await service.page(session, workspace_id, page)


@router.get(_ONE, dependencies=[requires("webhooks.read")])
async def get_webhook(
    workspace_id: WorkspaceId, webhook_id: WebhookId, response: Response, session: SessionDep
) -> WebhookView:
    """The webhook; its ETag is what a change of it has to send back."""
    found = await service.get(session, workspace_id, webhook_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch(_ONE, dependencies=[requires("webhooks.write", step_up=STEP_UP)])
async def change_webhook(
    workspace_id: WorkspaceId,
    webhook_id: WebhookId,
    request: ChangeWebhook,
    response: Response,
    identity: IdentityDep,
    session: SessionDep,
    if_match: IfMatchDep,
    wired: Wired,
) -> WebhookView:
    """Changes URL or events, disables it or enables it again. What waits to be sent ends when it is disabled."""
    found = await wired.webhooks.change(session, identity, workspace_id, webhook_id, request, if_match)
    response.headers["ETag"] = etag(found.version)
    return found


@router.delete(_ONE, status_code=204, dependencies=[requires("webhooks.write")])
async def delete_webhook(
    workspace_id: WorkspaceId, webhook_id: WebhookId, identity: IdentityDep, session: SessionDep, wired: Wired
) -> Response:
    """Its deliveries go with it."""
    await wired.webhooks.remove(session, identity, workspace_id, webhook_id)
    return Response(status_code=204)


@router.post(
    _ONE + "/rotate",
    status_code=201,
    response_model=WebhookWithSecret,
    dependencies=[requires("webhooks.write", step_up=STEP_UP)],
)
async def rotate_webhook_secret(
    workspace_id: WorkspaceId,
    webhook_id: WebhookId,
    request: RotateSecret,
    identity: IdentityDep,
    session: SessionDep,
    idempotency: IdempotencyDep,
    wired: Wired,
) -> Response:
    """Makes another secret, which is in this answer only. Both sign for `overlap_hours`."""
    return await idempotency.run(
        status_code=201,
        call=lambda: wired.webhooks.rotate(session, identity, workspace_id, webhook_id, request),
        secret_fields={"secret"},
    )


@router.get(_ONE + "/deliveries", dependencies=[requires("webhooks.read")])
async def list_deliveries(
    workspace_id: WorkspaceId, webhook_id: WebhookId, session: SessionDep, page: PageDep
) -> Page[DeliveryView]:
    """Of the last thirty days, newest first."""
    return await service.deliveries(session, workspace_id, webhook_id, page)


@router.post(
    "/v1/workspaces/{workspace_id}/webhook-deliveries/{delivery_id}/replay",
    status_code=202,
    dependencies=[requires("webhooks.write")],
)
async def replay_delivery(
    workspace_id: WorkspaceId,
    delivery_id: DeliveryId,
    identity: IdentityDep,
    session: SessionDep,
    wired: Wired,
) -> DeliveryView:
    """Sends it again under the same `webhook-id`, with the whole schedule before it. 409 while it is being tried."""
    return await wired.webhooks.replay(session, identity, workspace_id, delivery_id)
