"""The provisioner's API on a stage: requests as the gateway would send them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from services.provisioner.app import create_app
from services.provisioner.plans import Catalogue
from services.provisioner.ports import CheckoutPort
from services.provisioner.settings import PLANS_FILE, ApiSettings
from services.provisioner.wiring import ApiResources
from shared.clock import SystemClock
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust
from tests.provisioner.stage import Stage

WEBHOOK_SECRET = "whsec_test"
ALL = (
    "servers.read", "servers.write", "billing.write", "billing.read", "subscriptions.read",
    "domains.read", "domains.write",
    "mailboxes.read", "mailboxes.write", "jobs.read",
)  # fmt: skip


@dataclass
class Api:
    stage: Stage
    trust: Trust
    app: FastAPI
    client: httpx.AsyncClient
    workspace_id: str

    @classmethod
    def build(
        cls, stage: Stage, trust: Trust, database: ServiceDatabase, *, checkout: CheckoutPort | None = None
    ) -> Api:
        settings = trust.settings(
            ApiSettings,
            "provisioner",
            "api",
            database,
            stripe_checkout_key=SecretStr("rk_test"),
            stripe_webhook_secret=SecretStr(WEBHOOK_SECRET),
        )
        resources = ApiResources(
            settings, Catalogue.load(PLANS_FILE), checkout or stage.outside.billing, SystemClock()
        )
        app = create_app(settings, resources=resources, database=Database(database.app_url))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://provisioner")
        return cls(stage, trust, app, client, new_id("ws"))

    async def aclose(self) -> None:
        await self.client.aclose()
        await self.app.state.database.dispose()

    @property
    def path(self) -> str:
        return f"/v1/workspaces/{self.workspace_id}"

    def headers(self, permissions: tuple[str, ...] = ALL, workspace_id: str | None = None) -> dict[str, str]:
        return self.trust.user(
            "provisioner", workspace_id=workspace_id or self.workspace_id, permissions=permissions
        )

    async def get(self, path: str, **extra: Any) -> httpx.Response:
        return await self.client.get(path, headers=self.headers(**extra))

    async def post(self, path: str, body: Any, *, key: str | None = None, **extra: Any) -> httpx.Response:
        headers = {**self.headers(**extra), "Idempotency-Key": key or new_id("req")}
        return await self.client.post(path, json=body, headers=headers)

    async def delete(self, path: str) -> httpx.Response:
        return await self.client.delete(path, headers=self.headers())

    async def webhook(
        self, event: dict[str, Any], *, at: float | None = None, secret: str = WEBHOOK_SECRET
    ) -> httpx.Response:
        body = json.dumps(event).encode()
        stamp = str(int(at if at is not None else time.time()))
        digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
        return await self.client.post(
            "/v1/webhooks/stripe", content=body, headers={"Stripe-Signature": f"t={stamp},v1={digest}"}
        )

    async def ready_server(self) -> str:
        server = await self.stage.paid(workspace_id=self.workspace_id)
        await self.stage.ready(server.id)
        return server.id
