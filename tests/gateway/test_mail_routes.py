"""What the mail provider and mail programs send comes through the gateway as it was sent, and to auth."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.auth.standard_webhooks import sign
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.stage import stage

SECRET = SecretStr("whsec_c2VjcmV0")


@pytest.fixture
async def visitor(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    async with stage(service_database, trust, tmp_path) as made:
        assert await made.gateway.documentation.check()
        transport = httpx.ASGITransport(app=made.gateway, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://sendchief.test") as client:
            yield client


async def test_a_signed_event_is_taken_and_a_changed_one_is_not(visitor: httpx.AsyncClient) -> None:
    now = datetime.now(UTC)
    event = {
        "type": "email.bounced",
        "created_at": now.isoformat(),
        "data": {"email_id": "x", "to": ["a@people.test"], "bounce": {"type": "Permanent"}},
    }
    body, name, stamp = json.dumps(event).encode(), new_id("msg"), str(int(now.timestamp()))
    headers = {
        "svix-id": name,
        "svix-timestamp": stamp,
        "svix-signature": sign(body, event_id=name, timestamp=stamp, secret=SECRET),
        "content-type": "application/json",
    }
    taken = await visitor.post("/v1/webhooks/resend", content=body, headers=headers)
    assert (taken.status_code, taken.json()) == (200, {"received": True, "new": True})
    changed = await visitor.post("/v1/webhooks/resend", content=body + b" ", headers=headers)
    assert (changed.status_code, changed.json()["code"]) == (400, "bad_signature")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_one_click_reaches_auth_whatever_form_the_mail_program_sends(
    visitor: httpx.AsyncClient, kind: str
) -> None:
    """Auth refuses this token, so it was asked."""
    form = b"List-Unsubscribe=One-Click"
    if kind.startswith("multipart"):
        form = b'--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n'
    answer = await visitor.post("/v1/unsubscribe?token=a.b.c", content=form, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["code"]) == (410, "link_refused")
