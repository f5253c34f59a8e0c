"""Buying: a subscription is asked for here and paid at Stripe; nothing is provisioned before.

Written down, asked for, bound: three steps, and no connection to the database is held while Stripe is asked. A request
that broke off in between goes on under the same Idempotency-Key; Stripe knows the purchase by our row's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.errors import PaymentUnavailable, WorkspaceEnding
from services.provisioner.models import Subscription
from services.provisioner.plans import Catalogue
from services.provisioner.ports import CheckoutPort, CheckoutSession, PaymentError
from services.provisioner.regions import service as regions
from services.provisioner.subscriptions import repository
from services.provisioner.subscriptions.schemas import CreateSubscription, SubscriptionView
from services.provisioner.subscriptions.views import Around, view
from shared import audit
from shared.bus import outbox
from shared.clock import Clock
from shared.contracts.provisioner_events import PaymentFailed, SubscriptionEnded
from shared.db.database import Database
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.observability.logging import get_logger
from shared.web.pagination import Page, PageRequest

_log = get_logger("subscriptions")


class Purchase(BaseModel):
    """What is asked of the payment provider. It is stored first, so that each try asks for the same thing."""

    subscription_id: str
    workspace_id: str
    price_id: str
    customer_id: str | None


@dataclass(frozen=True)
class Buying:
    """One request to buy, in the three steps of `SteppedIdempotency`."""

    identity: Identity
    workspace_id: str
    request: CreateSubscription
    catalogue: Catalogue
    checkout: CheckoutPort
    clock: Clock

    async def intend(self, session: AsyncSession) -> dict[str, Any]:
        """Writes down what is to be bought, at which price. Raises UnknownPlan, UnknownZone, WorkspaceEnding, NoRoom,
        and PaymentUnavailable while the payment provider does not have the plan's price."""
        plan = self.catalogue.plan(self.request.plan)
        zone = self.catalogue.check_zone(self.request.zone)
        if await repository.is_ending(session, self.workspace_id):
            raise WorkspaceEnding("Nothing new can be bought.")
        await regions.check_room(session, self.catalogue, plan, zone, self.clock.now())
        price = await repository.price(session, plan.id)
        if price is None or (price.amount_cents, price.currency) != (plan.amount_cents, plan.currency):
            raise PaymentUnavailable("The price of this plan is being published.", retry_after=30)
        row = Subscription(
            id=new_id("sub"),
            workspace_id=self.workspace_id,
            plan=plan.id,
            zone=zone,
            status="pending",
            price_id=price.price_id,
            amount_cents=price.amount_cents,
            currency=price.currency,
            created_by=self.identity.subject,
            version=1,
        )
        session.add(row)
        await session.flush()
        purchase = Purchase(
            subscription_id=row.id,
            workspace_id=self.workspace_id,
            price_id=price.price_id,
            customer_id=await repository.customer(session, self.workspace_id),
        )
        return purchase.model_dump()

    async def ask(self, intent: dict[str, Any]) -> CheckoutSession:
        """Asks for the payment page; no transaction is open meanwhile. Raises PaymentUnavailable."""
        try:
            return await self.checkout.create_checkout(**Purchase.model_validate(intent).model_dump())
        except PaymentError as error:
            _log.error("no checkout session", detail=str(error), retryable=error.retryable)
            raise PaymentUnavailable(
                "The payment page could not be opened.",
                retry_after=5,
                next_action="Send the same request with the same Idempotency-Key again.",
            ) from error

    async def bind(
        self, session: AsyncSession, intent: dict[str, Any], page: CheckoutSession
    ) -> SubscriptionView:
        """The payment page belongs to the subscription from here on. Raises WorkspaceEnding."""
        row = await repository.lock(session, Purchase.model_validate(intent).subscription_id)
        if row is None or row.status == "refused":
            raise WorkspaceEnding("Nothing new can be bought.")
        if row.checkout_session_id is None:
            row.checkout_session_id, row.checkout_url = page.id, page.url
            await audit.record(
                session,
                workspace_id=row.workspace_id,
                actor=self.identity,
                action="provisioner.subscription.created",
                target=row.id,
                data={"plan": row.plan, "zone": row.zone},
            )
        return view(row, self.catalogue, Around())


async def forget_intents(database: Database) -> int:
    async with database.transaction() as session:
        return await repository.forget_intents(session)


async def get(session: AsyncSession, subscription_id: str, catalogue: Catalogue) -> SubscriptionView:
    """Raises NotFound."""
    row = await repository.get(session, subscription_id)
    if row is None:
        raise NotFound
    return view(row, catalogue, (await _around(session, [row.id]))[row.id])


async def page(
    session: AsyncSession, workspace_id: str, request: PageRequest, catalogue: Catalogue
) -> Page[SubscriptionView]:
    rows = await repository.page(session, workspace_id, request.after_id, request.limit + 1)
    around = await _around(session, [row.id for row in rows])
    return request.page(rows, lambda row: view(row, catalogue, around[row.id]), lambda row: row.id)


async def _around(session: AsyncSession, ids: Sequence[str]) -> dict[str, Around]:
    """subscription → what belongs to it"""
    servers = await repository.servers(session, ids)
    stops = await repository.stops(session, [server.id for server in servers.values()])
    refunds = await repository.refunds(session, ids)
    found = {}
    for one in ids:
        server = servers.get(one)
        found[one] = Around(server, stops.get(server.id) if server else None, refunds.get(one))
    return found


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
