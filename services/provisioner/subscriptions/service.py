"""Buying: a subscription is asked for here and paid at Stripe; nothing is provisioned before."""

from __future__ import annotations

from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.errors import PaymentUnavailable, WorkspaceEnding
from services.provisioner.models import Subscription
from services.provisioner.plans import Catalogue
from services.provisioner.ports import CheckoutPort, PaymentError
from services.provisioner.subscriptions import repository
from services.provisioner.subscriptions.schemas import CreateSubscription, SubscriptionView
from shared import audit
from shared.bus import outbox
from shared.contracts.provisioner_events import PaymentFailed, SubscriptionEnded
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.observability.logging import get_logger
from shared.web.pagination import Page, PageRequest

_log = get_logger("subscriptions")


async def create(
    session: AsyncSession,
    identity: Identity,
    workspace_id: str,
    request: CreateSubscription,
    catalogue: Catalogue,
    checkout: CheckoutPort,
) -> SubscriptionView:
    """Raises UnknownPlan, UnknownZone, WorkspaceEnding, PaymentUnavailable."""
    plan = catalogue.plan(request.plan)
    zone = catalogue.check_zone(request.zone)
    if await repository.is_ending(session, workspace_id):
        raise WorkspaceEnding("Nothing new can be bought.")
    row = Subscription(
        id=new_id("sub"),
        workspace_id=workspace_id,
        plan=plan.id,
        zone=zone,
        status="pending",
        created_by=identity.subject,
        version=1,
    )
    try:
        page = await checkout.create_checkout(
            subscription_id=row.id,
            workspace_id=workspace_id,
            name=plan.name,
            amount_cents=plan.amount_cents,
            currency=plan.currency,
        )
    except PaymentError as error:
        _log.error("no checkout session", detail=str(error), retryable=error.retryable)
        raise PaymentUnavailable("The payment page could not be opened.", retry_after=5) from error
    row.checkout_session_id, row.checkout_url = page.id, page.url
    session.add(row)
    await session.flush()
    await session.refresh(row)
    await audit.record(
        session,
        workspace_id=workspace_id,
        actor=identity,
        action="provisioner.subscription.created",
        target=row.id,
        data={"plan": plan.id, "zone": zone},
    )
    return view(row)


async def get(session: AsyncSession, subscription_id: str) -> SubscriptionView:
    """Raises NotFound."""
    row = await repository.get(session, subscription_id)
    if row is None:
        raise NotFound
    return view(row)


async def page(session: AsyncSession, workspace_id: str, request: PageRequest) -> Page[SubscriptionView]:
    rows = await repository.page(session, workspace_id, request.after_id, request.limit + 1)
    return request.page(rows, view, lambda row: row.id)


def view(row: Subscription) -> SubscriptionView:
    return SubscriptionView.model_validate(
        {
            "id": row.id,
            "plan": row.plan,
            "zone": row.zone,
            "status": row.status,
            "checkout_url": row.checkout_url if row.status == "pending" else None,
            "created_at": row.created_at,
            "activated_at": row.activated_at,
            "ended_at": row.ended_at,
        }
    )


async def change_status(
    session: AsyncSession, row: Subscription, status: Literal["past_due", "ended"]
) -> None:
    """Follows what has become of the money, and tells it."""
    row.status = status
    row.version += 1
    about = {"workspace_id": row.workspace_id, "subscription_id": row.id, "plan": row.plan}
    await outbox.emit(
        session,
        SubscriptionEnded(**about) if status == "ended" else PaymentFailed(**about),
        subject=row.id,
        workspace_id=row.workspace_id,
        aggregate_version=row.version,
    )
