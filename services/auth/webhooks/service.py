"""Webhooks: made and changed by owners and admins, each with a secret that is shown once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.errors import DeliveryPending, WebhookDisabled, WebhookUrlRefused
from services.auth.models import Webhook, WebhookDelivery
from services.auth.sealing import Sealing
from services.auth.standard_webhooks import KEY_BYTES, secret_of
from services.auth.webhooks import repository
from services.auth.webhooks.schemas import (
    ChangeWebhook,
    CreateWebhook,
    DeliveryView,
    DisabledReason,
    RotateSecret,
    WebhookView,
    WebhookWithSecret,
)
from services.auth.workspaces.roles import require_admin
from services.auth.workspaces.service import acting_role, active, require_user
from shared import audit
from shared.clock import Clock
from shared.errors import Conflict, NotFound
from shared.http.public import PORTS, UrlRefused, public_url
from shared.identity import Identity
from shared.ids import new_id
from shared.special_use import SPECIAL_USE_NAMES
from shared.web.conditional import IfMatch
from shared.web.pagination import Page, PageRequest

WEBHOOKS_PER_WORKSPACE = 10
ENDED_BY_HAND = "the webhook was disabled"


@dataclass(frozen=True)
class Webhooks:
    """What all of it needs. `ports` and `special_names` are what a URL is held to (`shared/http/public.py`)."""

    clock: Clock
    sealing: Sealing
    ports: tuple[int, ...] = PORTS
    special_names: tuple[str, ...] = SPECIAL_USE_NAMES

    async def create(
        self, session: AsyncSession, identity: Identity, workspace_id: str, request: CreateWebhook
    ) -> WebhookWithSecret:
        """Raises WebhookUrlRefused, Conflict."""
        maker = await _maker(session, identity, workspace_id)
        url = self._url(request.url)
        if await repository.count(session, workspace_id) >= WEBHOOKS_PER_WORKSPACE:
            raise Conflict(
                f"The workspace has {WEBHOOKS_PER_WORKSPACE} webhooks.", next_action="Delete one first."
            )
        webhook_id = new_id("whk")
        sealed, secret = self._new_secret(webhook_id)
        row = Webhook(
            id=webhook_id,
            workspace_id=workspace_id,
            url=url,
            events=sorted(set(request.events)),
            enabled=True,
            version=1,
            secret_sealed=sealed,
            created_by=maker,
            created_at=self.clock.now(),
        )
        session.add(row)
        await session.flush()
        await _record(session, identity, row, "created", host=host_of(url), events=row.events)
        return _with_secret(row, secret)

    async def change(
        self,
        session: AsyncSession,
        identity: Identity,
        workspace_id: str,
        webhook_id: str,
        request: ChangeWebhook,
        if_match: IfMatch,
    ) -> WebhookView:
        """Raises PreconditionFailed, WebhookUrlRefused. What waits to be sent ends when the webhook is disabled."""
        row = await _locked(session, identity, workspace_id, webhook_id)
        if_match.check(row.version)
        if request.url is not None:
            row.url = self._url(request.url)
        if request.events is not None:
            row.events = sorted(set(request.events))
        if request.enabled is False and row.enabled:
            await _switch_off(session, row, "by_hand", ENDED_BY_HAND)
        elif request.enabled and not row.enabled:
            row.enabled, row.disabled_reason = True, None
        row.version += 1
        await session.flush()
        await _record(
            session, identity, row, "changed", host=host_of(row.url), events=row.events, enabled=row.enabled
        )
        return view(row)

    async def rotate(
        self,
        session: AsyncSession,
        identity: Identity,
        workspace_id: str,
        webhook_id: str,
        request: RotateSecret,
    ) -> WebhookWithSecret:
        """Another secret. The present one signs along for the overlap; one before it does no more."""
        row = await _locked(session, identity, workspace_id, webhook_id)
        row.previous_secret_sealed = row.previous_secret_until = None
        if request.overlap_hours:
            row.previous_secret_sealed = row.secret_sealed
            row.previous_secret_until = self.clock.now() + timedelta(hours=request.overlap_hours)
        row.secret_sealed, secret = self._new_secret(row.id)
        row.version += 1
        await session.flush()
        await _record(session, identity, row, "secret_rotated", overlap_hours=request.overlap_hours)
        return _with_secret(row, secret)

    async def remove(
        self, session: AsyncSession, identity: Identity, workspace_id: str, webhook_id: str
    ) -> None:
        row = await _locked(session, identity, workspace_id, webhook_id)
        await _record(session, identity, row, "deleted", host=host_of(row.url))
        await session.delete(row)

    async def replay(
        self, session: AsyncSession, identity: Identity, workspace_id: str, delivery_id: str
    ) -> DeliveryView:
        """Sends it again, under its old id, and begins the schedule anew. Raises WebhookDisabled, DeliveryPending."""
        row = await repository.delivery(session, workspace_id, delivery_id)
        if row is None:
            raise NotFound
        webhook = await _locked(session, identity, workspace_id, row.webhook_id)
        if not webhook.enabled:
            raise WebhookDisabled(next_action="Enable it first.")
        if not await repository.replay(session, row.id, self.clock.now()):
            raise DeliveryPending(next_action="Wait until it has ended.")
        await session.refresh(row)
        await _record(session, identity, webhook, "delivery_replayed", delivery_id=row.id)
        return delivery_view(row)

    def secrets_of(self, row: Webhook, now: datetime) -> list[SecretStr]:
        """Those that sign now, the newest first."""
        sealed = [row.secret_sealed]
        until = row.previous_secret_until
        if row.previous_secret_sealed is not None and until is not None and now < until:
            sealed.append(row.previous_secret_sealed)
        return [secret_of(self.sealing.open(each, row.id)) for each in sealed]

    def seal_anew(self, row: Webhook) -> None:
        """Under the current key, whatever was sealed under the one before."""
        if self.sealing.outdated(row.secret_sealed):
            row.secret_sealed = self.sealing.seal(self.sealing.open(row.secret_sealed, row.id), row.id)
        previous = row.previous_secret_sealed
        if previous is not None and self.sealing.outdated(previous):
            row.previous_secret_sealed = self.sealing.seal(self.sealing.open(previous, row.id), row.id)

    def _new_secret(self, webhook_id: str) -> tuple[bytes, SecretStr]:
        key = secrets.token_bytes(KEY_BYTES)
        return self.sealing.seal(key, webhook_id), secret_of(key)

    def _url(self, text: str) -> str:
        try:
            return str(public_url(text, ports=self.ports, special_names=self.special_names))
        except UrlRefused as refused:
            raise WebhookUrlRefused(
                str(refused), field="body.url", next_action="Give the address of a server on the internet."
            ) from None


async def page(session: AsyncSession, workspace_id: str, page: PageRequest) -> Page[WebhookView]:
    rows = await repository.page(session, workspace_id, before=page.after_id, limit=page.limit + 1)
    return page.page(rows, view, lambda row: row.id)


async def get(session: AsyncSession, workspace_id: str, webhook_id: str) -> WebhookView:
    row = await repository.get(session, workspace_id, webhook_id)
    if row is None:
        raise NotFound
    return view(row)


async def deliveries(
    session: AsyncSession, workspace_id: str, webhook_id: str, page: PageRequest
) -> Page[DeliveryView]:
    """Newest first."""
    webhook = await repository.get(session, workspace_id, webhook_id)
    if webhook is None:
        raise NotFound
    rows = await repository.deliveries(session, webhook.id, before=page.after_id, limit=page.limit + 1)
    return page.page(rows, delivery_view, lambda row: row.id)


async def disable(session: AsyncSession, row: Webhook, reason: DisabledReason, error: str) -> None:
    """By the worker, which holds the row's lock; the owners get a mail about the audit row."""
    await _switch_off(session, row, reason, error)
    row.version += 1
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor="auth",
        action="auth.webhook.disabled",
        target=row.id,
        reason=reason,
        data={"host": host_of(row.url)},
    )


async def _switch_off(session: AsyncSession, row: Webhook, reason: DisabledReason, error: str) -> None:
    row.enabled, row.disabled_reason = False, reason
    await repository.end_pending(session, row.id, error)


async def _maker(session: AsyncSession, identity: Identity, workspace_id: str) -> str:
    """The person who may change webhooks now; the workspace is locked. Raises Forbidden."""
    maker = require_user(identity)
    workspace = await active(session, workspace_id)
    require_admin(await acting_role(session, workspace.id, identity))
    return maker


async def _locked(session: AsyncSession, identity: Identity, workspace_id: str, webhook_id: str) -> Webhook:
    await _maker(session, identity, workspace_id)
    row = await repository.lock(session, workspace_id, webhook_id)
    if row is None:
        raise NotFound
    return row


async def _record(session: AsyncSession, identity: Identity, row: Webhook, what: str, **data: Any) -> None:
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor=identity,
        action=f"auth.webhook.{what}",
        target=row.id,
        data=data,
    )


def host_of(url: str) -> str:
    """What may be written down of a URL: its path and query can hold somebody's token."""
    return url.split("/", 3)[2]


def view(row: Webhook) -> WebhookView:
    return WebhookView.model_validate(row, from_attributes=True)


def _with_secret(row: Webhook, secret: SecretStr) -> WebhookWithSecret:
    return WebhookWithSecret.model_validate({**view(row).model_dump(), "secret": secret.get_secret_value()})


def delivery_view(row: WebhookDelivery) -> DeliveryView:
    return DeliveryView.model_validate(row, from_attributes=True)
