"""Requests that are believed because their sender has signed them."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from datetime import UTC, datetime

from pydantic import SecretStr

from services.auth.standard_webhooks import sign
from shared.ids import new_id
from tests.examples.house import House
from tests.examples.request import Request
from tests.isolation.stage import Person


def _secret_of(house: House, service: str, name: str) -> SecretStr:
    secret: SecretStr = getattr(house.world.apps[service].state.settings, name)
    return secret


async def resend(house: House, owner: Person) -> Request:
    body = {
        "type": "email.bounced",
        "created_at": datetime.now(UTC).isoformat(),
        "data": {
            "email_id": new_id("req"),
            "to": [owner.email],
            "bounce": {"type": "Permanent", "message": "550 5.1.1 no such mailbox"},
        },
    }
    stamp, event_id = str(int(time.time())), new_id("evt")
    signature = sign(
        json.dumps(body).encode(), event_id=event_id, timestamp=stamp,
        secret=_secret_of(house, "auth", "resend_webhook_secret"),
    )  # fmt: skip
    headers = {"svix-id": event_id, "svix-timestamp": stamp, "svix-signature": signature}
    return Request("/v1/webhooks/resend", body, headers)


async def stripe(house: House, owner: Person) -> Request:
    body = {
        "id": f"evt_{secrets.token_hex(12)}",
        "type": "invoice.paid",
        "data": {"object": {"id": f"in_{secrets.token_hex(12)}"}},
    }
    stamp = str(int(time.time()))
    secret = _secret_of(house, "provisioner", "stripe_webhook_secret").get_secret_value()
    told = stamp.encode() + b"." + json.dumps(body).encode()
    digest = hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()
    return Request("/v1/webhooks/stripe", body, {"Stripe-Signature": f"t={stamp},v1={digest}"})


async def leaked(house: House, owner: Person) -> Request:
    path = f"/v1/workspaces/{owner.workspace_id}/api-keys"
    made = await house.succeed("POST", path, {"name": "partner", "scopes": ["servers:read"]}, owner)
    body = [
        {
            "token": json.loads(made.body)["key"],
            "type": "sendchief_api_key",
            "url": "https://example.com/repository/blob/main/settings.py",
            "source": "content",
        }
    ]
    headers = house.scanner.headers(json.dumps(body).encode())
    headers.pop("Content-Type")
    return Request("/v1/secret-scanning/alerts", body, headers)
