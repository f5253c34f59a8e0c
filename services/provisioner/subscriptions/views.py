"""From rows to what the API shows of a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.provisioner.models import Condition, Refund, Server, Subscription
from services.provisioner.plans import Catalogue, DunningStep
from services.provisioner.subscriptions.schemas import (
    DunningView,
    NextView,
    ReceiptView,
    RefundView,
    StopView,
    SubscriptionView,
)


@dataclass(frozen=True)
class Around:
    """What belongs to a subscription: its server, also when it is gone; why that cannot be made; what goes back."""

    server: Server | None = None
    stop: Condition | None = None
    refund: Refund | None = None


def view(row: Subscription, catalogue: Catalogue, around: Around) -> SubscriptionView:
    server = around.server
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
            "price": None
            if row.amount_cents is None
            else {"amount_cents": row.amount_cents, "currency": row.currency},
            "next": _next(row, catalogue, server),
            "dunning": None
            if row.dunning is None
            else DunningView.model_validate(
                {"step": row.dunning, "since": row.dunning_at, "announced": row.announced}
            ),
            "stop": None
            if around.stop is None
            else StopView.model_validate(
                {
                    "reason": around.stop.reason,
                    "message": around.stop.message,
                    "since": around.stop.last_transition_at,
                }
            ),
            "refund": None if around.refund is None else refund_view(around.refund),
            "receipt": _receipt(server),
        }
    )


def refund_view(row: Refund) -> RefundView:
    return RefundView.model_validate(row, from_attributes=True)


def _next(row: Subscription, catalogue: Catalogue, server: Server | None) -> NextView | None:
    """What happens by itself, and when."""
    if row.dunning is not None:
        following = catalogue.dunning_after(row.dunning)
        if following is None or server is None or server.desired == "absent":
            return None
        return NextView(what=following.step, at=due_at(row, following))
    if row.status == "active" and row.cancel_at is not None:
        return NextView(what="end", at=row.cancel_at)
    if row.status == "active" and row.period_end is not None:
        return NextView(what="renewal", at=row.period_end)
    return None


def due_at(row: Subscription, following: DunningStep) -> datetime:
    """When `following` is taken, as things stand: its time on the ladder, but never without its notice."""
    assert row.dunning_at is not None
    due = row.dunning_at + timedelta(days=following.after_days)
    if row.announced_at is None:
        return due
    return max(due, row.announced_at + timedelta(days=following.notice_days))


def _receipt(server: Server | None) -> ReceiptView | None:
    if server is None or server.deleted_at is None:
        return None
    return ReceiptView(
        server_id=server.id,
        hostname=server.hostname,
        reason=server.cancel_reason or "",
        ordered_at=server.cancelled_at,
        destroyed_at=server.deleted_at,
    )
