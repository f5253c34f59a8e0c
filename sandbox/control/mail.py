"""Mails that Resend took and what becomes of them, and the outside mail host."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from sandbox.control.body import Body
from sandbox.control.webhooks import add_webhook_routes
from sandbox.control.wiring import Wiring
from sandbox.resend.webhooks import Outcome


class MailOutcome(Body):
    outcome: Outcome


class Mail(Body):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    sender: str = Field(alias="from")
    to: str
    subject: str = ""
    body: str = ""
    headers: dict[str, str] = Field(default_factory=dict)


def create_router(wiring: Wiring) -> APIRouter:
    """Mails that Resend took, and the outside mail host."""
    router = APIRouter()
    outside = wiring.infrastructure.outside

    @router.get("/resend/messages")
    async def sent(to: str | None = None) -> list[dict[str, Any]]:
        return wiring.resend.messages(to)

    add_webhook_routes(router, wiring.resend_webhooks, "/resend")

    @router.post("/resend/messages/{mail_id}/outcome")
    async def happen(mail_id: str, body: MailOutcome) -> dict[str, Any]:
        mail = wiring.resend.get(mail_id)
        if mail is None:
            raise KeyError(mail_id)
        events = [wiring.resend_webhooks.happen(mail, address, body.outcome) for address in mail["to"]]
        return {"events": [event for each in events for event in each]}

    @router.put("/resend/recipients/{address}")
    async def recipient(address: str, body: MailOutcome) -> dict[str, Any]:
        wiring.resend.set_outcome(address, body.outcome)
        return {"address": address, "outcome": body.outcome}

    @router.delete("/resend/recipients/{address}")
    async def ordinary(address: str) -> dict[str, Any]:
        wiring.resend.set_outcome(address, None)
        return {"address": address, "outcome": "delivered"}

    @router.post("/mail/outside/send")
    async def send(body: Mail) -> dict[str, Any]:
        return await outside.send(
            sender=body.sender, recipient=body.to, subject=body.subject, body=body.body, headers=body.headers
        )

    @router.get("/mail/outside/messages")
    async def received(to: str | None = None) -> list[dict[str, Any]]:
        return outside.messages(to)

    return router
