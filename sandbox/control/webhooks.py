"""The routes that every vendor with webhooks has."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from sandbox.control.body import Body
from sandbox.webhooks import WebhookSender


class WebhookEndpoint(Body):
    url: str = Field(pattern=r"^https?://")
    ca_file: str | None = None


def add_webhook_routes(router: APIRouter, webhooks: WebhookSender, prefix: str = "") -> None:
    """Where a vendor's webhooks go, what became of each, and one sent again."""

    @router.get(f"{prefix}/webhook")
    async def endpoint() -> dict[str, Any]:
        return webhooks.endpoint() or {}

    @router.put(f"{prefix}/webhook")
    async def configure(body: WebhookEndpoint) -> dict[str, Any]:
        webhooks.configure(body.url, body.ca_file)
        return body.model_dump()

    @router.get(f"{prefix}/deliveries")
    async def deliveries() -> list[dict[str, Any]]:
        return webhooks.deliveries()

    @router.post(f"{prefix}/events/{{event_id}}/resend")
    async def again(event_id: str) -> dict[str, Any]:
        webhooks.resend(event_id)
        return {"event": event_id}
