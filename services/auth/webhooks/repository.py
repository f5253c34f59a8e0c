"""Rows of webhooks and their deliveries. Whoever needs both locks the webhook first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Webhook, WebhookDelivery


async def page(session: AsyncSession, workspace_id: str, *, before: str | None, limit: int) -> list[Webhook]:
    """Newest first."""
    statement = (
        select(Webhook).where(Webhook.workspace_id == workspace_id).order_by(Webhook.id.desc()).limit(limit)
    )
    if before is not None:
        statement = statement.where(Webhook.id < before)
    return list((await session.execute(statement)).scalars())


async def get(session: AsyncSession, workspace_id: str, webhook_id: str) -> Webhook | None:
    statement = select(Webhook).where(Webhook.workspace_id == workspace_id, Webhook.id == webhook_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def lock(session: AsyncSession, workspace_id: str, webhook_id: str) -> Webhook | None:
    statement = select(Webhook).where(Webhook.workspace_id == workspace_id, Webhook.id == webhook_id)
    return (await session.execute(statement.with_for_update())).scalar_one_or_none()


async def count(session: AsyncSession, workspace_id: str) -> int:
    statement = select(func.count()).select_from(Webhook).where(Webhook.workspace_id == workspace_id)
    return (await session.execute(statement)).scalar_one()


async def remove_all(session: AsyncSession, workspace_id: str) -> None:
    """Deliveries go with them."""
    await session.execute(delete(Webhook).where(Webhook.workspace_id == workspace_id))


# -- deliveries --------------------------------------------------------------------------------------------------


async def deliveries(
    session: AsyncSession, webhook_id: str, *, before: str | None, limit: int
) -> list[WebhookDelivery]:
    """Newest first."""
    statement = (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id)
        .order_by(WebhookDelivery.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(WebhookDelivery.id < before)
    return list((await session.execute(statement)).scalars())


async def delivery(session: AsyncSession, workspace_id: str, delivery_id: str) -> WebhookDelivery | None:
    statement = select(WebhookDelivery).where(
        WebhookDelivery.workspace_id == workspace_id, WebhookDelivery.id == delivery_id
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def replay(session: AsyncSession, delivery_id: str, now: datetime) -> bool:
    """Begins the schedule anew. False when the delivery is being tried: of many callers at once one has True."""
    statement = (
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.state != "pending")
        .values(
            state="pending",
            attempts_before=WebhookDelivery.attempts,
            queued_at=now,
            next_attempt_at=now,
        )
        .returning(WebhookDelivery.id)
    )
    return (await session.execute(statement)).first() is not None


async def end_pending(session: AsyncSession, webhook_id: str, error: str) -> None:
    statement = (
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == "pending")
        .values(state="failed", next_attempt_at=None, error=error)
    )
    await session.execute(statement)


async def wanting(session: AsyncSession, workspace_id: str, event: str) -> Sequence[Webhook]:
    """Enabled webhooks of the workspace that chose this event. None is disabled before this transaction ends."""
    statement = (
        select(Webhook)
        .where(Webhook.workspace_id == workspace_id, Webhook.enabled, Webhook.events.contains([event]))
        .with_for_update(read=True)
    )
    return (await session.execute(statement)).scalars().all()


async def queue(session: AsyncSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """An event that a webhook has is not queued twice."""
    await session.execute(insert(WebhookDelivery).values(rows).on_conflict_do_nothing())


async def claim_due(
    session: AsyncSession, now: datetime, *, limit: int, lease: timedelta
) -> list[tuple[Webhook, WebhookDelivery]]:
    """At most one delivery of each webhook, the one that has been due longest. Both belong to the caller until the
    lease ends; webhooks that nobody has sent to for the longest time come first."""
    due = WebhookDelivery.state == "pending", WebhookDelivery.next_attempt_at <= now
    free = (
        select(Webhook)
        .where(
            Webhook.enabled,
            or_(Webhook.leased_until.is_(None), Webhook.leased_until <= now),
            Webhook.id.in_(select(WebhookDelivery.webhook_id).where(*due)),
        )
        .order_by(Webhook.leased_until.asc().nulls_first(), Webhook.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    webhooks = {row.id: row for row in (await session.execute(free)).scalars()}
    first = (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_id.in_(webhooks), *due)
        .ext(distinct_on(WebhookDelivery.webhook_id))
        .order_by(WebhookDelivery.webhook_id, WebhookDelivery.next_attempt_at, WebhookDelivery.id)
    )
    claimed = []
    for row in (await session.execute(first)).scalars():
        webhooks[row.webhook_id].leased_until = now + lease
        row.attempts += 1
        row.last_attempt_at = now
        row.next_attempt_at = now + lease
        claimed.append((webhooks[row.webhook_id], row))
    return claimed


async def settle(session: AsyncSession, delivery_id: str, attempt: int, **values: Any) -> bool:
    """False when the delivery is not this attempt's any more: its lease has ended, or it was ended by hand."""
    statement = (
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == delivery_id,
            WebhookDelivery.attempts == attempt,
            WebhookDelivery.state == "pending",
        )
        .values(**values)
        .returning(WebhookDelivery.id)
    )
    return (await session.execute(statement)).first() is not None


async def all_of(session: AsyncSession, after: str, limit: int) -> list[Webhook]:
    """Every workspace's, by id, locked: for the worker."""
    statement = select(Webhook).where(Webhook.id > after).order_by(Webhook.id).limit(limit).with_for_update()
    return list((await session.execute(statement)).scalars())
