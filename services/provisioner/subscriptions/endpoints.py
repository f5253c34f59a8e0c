"""Subscriptions."""

from __future__ import annotations

from fastapi import APIRouter, Response

from services.provisioner.subscriptions import service
from services.provisioner.subscriptions.schemas import CreateSubscription, SubscriptionView
from services.provisioner.wiring import Wired
from shared.ids import SubscriptionId, WorkspaceId
from shared.web import IdentityDep, Page, PageDep, SessionDep, SteppedIdempotencyDep, requires

router = APIRouter(prefix="/v1/workspaces/{workspace_id}/subscriptions", tags=["Subscriptions"])


@router.post("", status_code=201, response_model=SubscriptionView, dependencies=[requires("billing.write")])
async def create(
    workspace_id: WorkspaceId,
    request: CreateSubscription,
    identity: IdentityDep,
    idempotency: SteppedIdempotencyDep,
    wired: Wired,
) -> Response:
    """Begins a subscription and opens its payment page. The server comes once the invoice is paid.

    Where there is known to be no room (`GET /v1/regions`), nothing is sold: 409 `no_room` says where there is.
    """
    buying = service.Buying(identity, workspace_id, request, wired.catalogue, wired.checkout, wired.clock)
    return await idempotency.run(status_code=201, intend=buying.intend, ask=buying.ask, settle=buying.bind)


@router.get("", dependencies=[requires("subscriptions.read")])
async def list_all(
    workspace_id: WorkspaceId, session: SessionDep, page: PageDep, wired: Wired
) -> Page[SubscriptionView]:
    return await service.page(session, workspace_id, page, wired.catalogue)


@router.get("/{subscription_id}", dependencies=[requires("subscriptions.read")])
async def get(
    workspace_id: WorkspaceId, subscription_id: SubscriptionId, session: SessionDep, wired: Wired
) -> SubscriptionView:
    """What it costs, what comes next, and what has become of its server."""
    return await service.get(session, subscription_id, wired.catalogue)
