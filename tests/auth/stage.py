"""Auth as a whole, in one process: its API over ASGI, its worker's handlers, and a mailer that keeps what it gets."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select, text

from services.auth.app import create_app
from services.auth.bindings import BINDINGS
from services.auth.mail_links import MailLinkSigner
from services.auth.models import Member
from services.auth.notifications.service import send_due
from services.auth.ports import Mail
from services.auth.settings import ApiSettings
from services.auth.wiring import WorkerResources
from shared.bus.testing import RecordingBus
from shared.clock import FixedClock
from shared.db.database import Database
from shared.identity import HEADER, generate_private_pem, mint_internal, public_pem_of
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust

WEBHOOK_SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOK_KEY = "webhook" * 8
PASSWORD = "a long sentence nobody says"
OWNER_PERMISSIONS = (
    "workspace.read", "workspace.write", "workspace.transfer", "workspace.leave", "workspace.delete",
    "members.read", "members.write", "api_keys.read", "api_keys.write", "audit.read", "servers.read",
    "servers.write", "domains.read", "credentials.export", "notifications.read",
    "notifications.write", "webhooks.read", "webhooks.write",
)  # fmt: skip


@dataclass
class KeptMail:
    """A mailer. `failures` are raised first, one per call."""

    mails: list[Mail] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def send(self, mail: Mail) -> str:
        if self.failures:
            raise self.failures.pop(0)
        self.mails.append(mail)
        return f"re_{len(self.mails)}"

    async def aclose(self) -> None:
        return None

    def last_to(self, address: str) -> Mail:
        return next(mail for mail in reversed(self.mails) if mail.to == address)


@dataclass(frozen=True)
class Person:
    id: str
    email: str
    session_id: str
    access_token: str


@dataclass
class Stage:
    client: httpx.AsyncClient
    worker: WorkerResources
    mail: KeptMail
    clock: FixedClock
    trust: Trust
    bus: RecordingBus
    app_database: Database
    settings: ApiSettings

    async def send_mail(self) -> None:
        while await send_due(self.worker):
            pass

    def as_user(self, account_id: str, workspace_id: str | None = None, **claims: Any) -> dict[str, str]:
        claims.setdefault("permissions", OWNER_PERMISSIONS if workspace_id else ())
        headers = self.trust.user("auth", account_id=account_id, workspace_id=workspace_id, **claims)
        return {**headers, "Idempotency-Key": new_id("evt")}

    def link_token(self, address: str) -> str:
        """Of the last mail to the address that has a link with a token."""
        mails = reversed([mail for mail in self.mail.mails if mail.to == address])
        found = next(filter(None, (re.search(r"#token=(\S+)", mail.text) for mail in mails)), None)
        assert found is not None
        return found[1]

    async def person(self, name: str = "Ada") -> Person:
        """Signed up, confirmed, signed in."""
        email = f"{new_id('usr')[4:20]}{new_id('usr')[-10:]}@people.test"
        body = {"email": email, "password": PASSWORD, "name": name}
        assert (await self.client.post("/v1/auth/signup", json=body)).status_code == 202
        await self.send_mail()
        answer = await self.client.post("/v1/auth/confirm", json={"token": self.link_token(email)})
        assert answer.status_code == 200, answer.text
        answer = await self.client.post("/v1/auth/sessions", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        claims = unverified(answer.json()["access_token"])
        return Person(claims["sub"], email, claims["sid"], answer.json()["access_token"])

    async def workspace(self, owner: Person, name: str = "Mill") -> str:
        answer = await self.client.post("/v1/workspaces", json={"name": name}, headers=self.as_user(owner.id))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def join(self, owner: Person, workspace_id: str, guest: Person, role: str = "member") -> None:
        answer = await self.client.post(
            f"/v1/workspaces/{workspace_id}/invitations",
            json={"email": guest.email, "role": role},
            headers=self.as_user(owner.id, workspace_id),
        )
        assert answer.status_code == 201, answer.text
        await self.send_mail()
        answer = await self.client.post(
            "/v1/invitations/accept",
            json={"token": self.link_token(guest.email)},
            headers=self.as_user(guest.id),
        )
        assert answer.status_code == 200, answer.text

    async def member_id(self, workspace_id: str, person: Person) -> str:
        """As the database has it: the person's membership there."""
        async with self.worker.database.transaction() as session:
            statement = select(Member.id).where(
                Member.workspace_id == workspace_id, Member.account_id == person.id
            )
            return (await session.execute(statement)).scalar_one()

    async def roles(self, workspace_id: str) -> dict[str, str]:
        """account id → role, as the database has it."""
        async with self.worker.database.transaction() as session:
            statement = select(Member.account_id, Member.role).where(Member.workspace_id == workspace_id)
            return {row[0]: row[1] for row in (await session.execute(statement)).all()}

    async def co_owner(self, owner: Person, workspace_id: str, guest: Person) -> None:
        """Joins, and becomes owner beside the other."""
        await self.join(owner, workspace_id, guest)
        answer = await self.client.post(
            f"/v1/workspaces/{workspace_id}/transfer",
            json={"member_id": await self.member_id(workspace_id, guest), "your_role": "owner"},
            headers=self.as_user(owner.id, workspace_id),
        )
        assert answer.status_code == 200, answer.text


def unverified(token: str) -> dict[str, Any]:
    """Claims of a token of our own making, for tests that only want to know what it says."""
    import base64
    import json

    segment = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return claims


@asynccontextmanager
async def staged(
    database: ServiceDatabase, trust: Trust, directory: Path, **fields: Any
) -> AsyncIterator[Stage]:
    clock = FixedClock(datetime.now(UTC))
    access, mail_key = generate_private_pem(), generate_private_pem()
    (directory / "access.pem").write_bytes(access)
    (directory / "mail.pem").write_bytes(public_pem_of(mail_key))
    settings = trust.settings(
        ApiSettings,
        "auth",
        "api",
        database,
        access_key_file=directory / "access.pem",
        mail_public_key_file=directory / "mail.pem",
        api_key_pepper="pepper" * 8,
        second_factor_key="factor" * 8,
        webhook_key=WEBHOOK_KEY,
        resend_webhook_secret=WEBHOOK_SECRET,
        allow_test_domain=True,
        public_url="https://sendchief.test",
        **fields,
    )
    app_database = Database(database.app_url, pool_size=15)
    worker_database = Database(database.worker_url)
    app = create_app(settings, clock=clock, database=app_database)
    mail = KeptMail()
    worker = WorkerResources(
        database=worker_database,
        clock=clock,
        mailer=mail,
        links=MailLinkSigner(mail_key, clock),
        public_url=settings.public_url,
    )
    bus = RecordingBus(worker_database, BINDINGS, worker)
    async with worker_database.transaction() as session:
        # The one count that all people share: an earlier test, with a clock of its own, may have filled it for this
        # one, or lived in its future.
        await session.execute(text("delete from sign_in_throttle"))
    transport = httpx.ASGITransport(app=app)
    try:
        visitor = {HEADER: from_address(trust, f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1")}
        async with httpx.AsyncClient(
            transport=transport, base_url="https://sendchief.test", headers=visitor
        ) as client:
            yield Stage(client, worker, mail, clock, trust, bus, app_database, settings)
    finally:
        await app_database.dispose()
        await worker_database.dispose()


def from_address(trust: Trust, client_ip: str) -> str:
    """What the gateway says of somebody who has not signed in: where he comes from."""
    return mint_internal(trust.signer("gateway"), "auth", subject="gateway", client_ip=client_ip)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)
