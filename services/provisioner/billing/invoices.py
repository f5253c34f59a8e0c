"""Invoices as Stripe had them when it was last asked. The API shows them from here: its own key cannot list them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.billing.schemas import InvoiceView
from services.provisioner.models import Invoice
from services.provisioner.ports import PaymentInvoice
from services.provisioner.subscriptions import repository as subscriptions
from shared.web.pagination import Page, PageRequest


async def keep(session: AsyncSession, seen: PaymentInvoice, subscription_id: str, look: int) -> None:
    """What look number `look` saw, unless a later one has seen more. A subscription that is not ours has none."""
    row = await subscriptions.lock(session, subscription_id)
    if row is None or row.stripe_subscription_id not in (None, seen.stripe_subscription_id):
        return
    values = {
        "status": seen.status,
        "number": seen.number,
        "amount_due": seen.amount_due,
        "amount_paid": seen.amount_paid,
        "currency": seen.currency,
        "hosted_url": seen.hosted_url,
        "pdf_url": seen.pdf_url,
        "look": look,
    }
    await session.execute(
        insert(Invoice)
        .values(
            id=seen.id,
            workspace_id=row.workspace_id,
            subscription_id=row.id,
            created_at=seen.created_at or func.now(),
            **values,
        )
        .on_conflict_do_update(index_elements=["id"], set_=values, where=Invoice.look < look)
    )


async def page(session: AsyncSession, workspace_id: str, request: PageRequest) -> Page[InvoiceView]:
    """Newest first; drafts are nobody's business yet."""
    query = (
        select(Invoice)
        .where(Invoice.workspace_id == workspace_id, Invoice.status != "draft")
        .order_by(Invoice.created_at.desc(), Invoice.id.desc())
        .limit(request.limit + 1)
    )
    after = request.after_moment()
    if after is not None:
        query = query.where(tuple_(Invoice.created_at, Invoice.id) < after)
    rows: Sequence[Invoice] = (await session.scalars(query)).all()
    return request.page(rows, _view, lambda row: (row.created_at.isoformat(), row.id))


def _view(row: Invoice) -> InvoiceView:
    return InvoiceView.model_validate(row, from_attributes=True)
