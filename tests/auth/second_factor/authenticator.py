"""A person and the authenticator app on his telephone."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Any

import httpx

from services.auth.errors import CodeRefused
from services.auth.sealing import Sealing
from services.auth.second_factor import totp
from services.auth.second_factor.service import SecondFactors
from shared.db.database import Database
from tests.auth.stage import PASSWORD, Person, Stage, seconds

FACTOR = "/v1/me/second-factor"
STEP_UP = "/v1/auth/sessions/current/step-up"
WRONG = "000000"


@dataclass
class App:
    """A person and the authenticator app on his telephone."""

    auth: Stage
    person: Person
    key: bytes
    recovery_codes: list[str]

    def code(self) -> str:
        return totp.code_at(self.key, self.auth.clock.now())

    def next_code(self) -> str:
        self.auth.clock.advance(seconds(30))
        return self.code()

    async def ask(self, method: str, path: str, session_id: str | None = None, **body: Any) -> httpx.Response:
        headers = self.auth.as_user(self.person.id, session_id=session_id or self.person.session_id)
        return await self.auth.client.request(method, path, json=body or None, headers=headers)

    async def sign_in(self, code: str | None = None, password: str = PASSWORD) -> httpx.Response:
        self.auth.client.cookies.clear()
        body = {"email": self.person.email, "password": password} | ({"code": code} if code else {})
        return await self.auth.client.post("/v1/auth/sessions", json=body)

    async def mails(self, subject: str) -> int:
        await self.auth.send_mail()
        return sum(m.subject == subject and m.to == self.person.email for m in self.auth.mail.mails)


async def started(auth: Stage) -> App:
    app = App(auth, await auth.person(), b"", [])
    answer = await app.ask("POST", FACTOR, password=PASSWORD)
    assert answer.status_code == 201, answer.text
    app.key = base64.b32decode(answer.json()["secret"])
    return app


def factors_of(auth: Stage, sealing: Sealing | None = None) -> SecondFactors:
    from services.auth.passwords import PasswordHasher

    settings = auth.settings
    sealing = sealing or Sealing("second_factor", settings.second_factor_key)
    return SecondFactors(auth.app_database, PasswordHasher(), sealing, auth.clock, settings.api_key_pepper)


async def redeemed(app: App, factors: SecondFactors, proofs: list[Any]) -> int:
    """How many of the proofs were accepted, all shown at once."""
    database: Database = app.auth.app_database

    async def redeem(proof: Any) -> bool:
        try:
            async with database.transaction(account_id=app.person.id) as session:
                await factors.redeem(session, app.person.id, proof)
        except CodeRefused:
            return False
        return True

    return sum(await asyncio.gather(*(redeem(proof) for proof in proofs)))
