"""One paid subscription, one server, however often and in whatever order it is told."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing import refunds, repository
from services.provisioner.models import Subscription
from services.provisioner.ports import PaymentPage, PaymentSubscription
from services.provisioner.servers import service as servers
from services.provisioner.subscriptions import repository as subscription_rows
from services.provisioner.subscriptions import service as subscriptions
from shared import audit
from shared.observability.logging import get_logger

OVERTAKEN = "overtaken"
"""A later look has been taken in already; to be sure, look again."""

NOT_OURS = ("unknown_subscription", "another_subscription")
BUYABLE = ("pending", "expired")
"""Nothing has been paid yet. Should a payment be told of a page that we took for expired, it still makes a server."""

_log = get_logger("billing")


async def take_in(
    session: AsyncSession, seen: PaymentSubscription, look: int, platform_zone: str, *, paid: bool
) -> str:
    """What Stripe had at look number `look`. Only `paid`, a paid invoice that Stripe itself confirmed, makes a server;
    all else follows the money of a subscription that has one. The outcome in a word."""
    row = await subscription_rows.lock(session, seen.metadata.get("subscription_id", ""))
    if row is None or row.workspace_id != seen.metadata.get("workspace_id"):
        _log.error("for no subscription of ours", stripe_subscription_id=seen.id, paid=paid)
        return "unknown_subscription"
    if row.stripe_subscription_id not in (None, seen.id):
        _log.error(
            "a second one for a subscription of ours", subscription_id=row.id, stripe_subscription_id=seen.id
        )
        return "another_subscription"
    if look < row.stripe_look:
        return OVERTAKEN
    row.stripe_look, row.stripe_status = look, seen.status
    row.period_end, row.cancel_at = seen.period_end, seen.cancel_at
    if row.activated_at is None:
        if not paid:
            return "not_paid"
        if row.status not in BUYABLE or seen.standing() == "ended":
            _log.error("paid after its end: goes back", subscription_id=row.id, status=row.status)
            await refunds.request(session, row, seen.id, reason="PaidAfterEnd", requested_by="provisioner")
            return "refund_due"
        return await _activate(session, row, seen, platform_zone)
    return await _follow(session, row, seen)


async def _activate(
    session: AsyncSession, row: Subscription, seen: PaymentSubscription, platform_zone: str
) -> str:
    row.stripe_subscription_id, row.stripe_customer_id = seen.id, seen.customer_id
    row.status = "active"
    row.version += 1
    row.activated_at = await repository.now(session)
    server = await servers.create(session, row, platform_zone)
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="provisioner",
        action="provisioner.subscription.activated",
        target=row.id,
        data={"server_id": server.id},
    )
    if seen.standing() == "due":
        await _follow(session, row, seen)
    return "granted"


async def _follow(session: AsyncSession, row: Subscription, seen: PaymentSubscription) -> str:
    """The subscription is where its money is."""
    match seen.standing(), row.status:
        case "good", "past_due":
            row.status = "active"
            row.version += 1
        case "due", "active":
            await subscriptions.change_status(session, row, "past_due")
        case "ended", "active" | "past_due":
            await subscriptions.change_status(session, row, "ended")
        case _:
            return f"still_{row.status}"
    _log.info("subscription changed", subscription_id=row.id, status=row.status)
    return f"now_{row.status}"


async def expire(session: AsyncSession, page: PaymentPage) -> str:
    """A page that Stripe itself says can never be paid any more: the subscription has ended before it began, unbilled.
    The outcome in a word."""
    row = await subscription_rows.lock(session, page.metadata.get("subscription_id", ""))
    if row is None or row.workspace_id != page.metadata.get("workspace_id"):
        return "unknown_subscription"
    if page.status != "expired":
        return f"page_{page.status}"
    if row.checkout_session_id not in (None, page.id):
        return "another_page"
    if row.status != "pending":
        return f"still_{row.status}"
    row.status = "expired"
    row.version += 1
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="provisioner",
        action="provisioner.subscription.expired",
        target=row.id,
    )
    return "now_expired"
