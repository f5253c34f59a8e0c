"""A worker that is killed while it sends: each mail is at the provider once, and none is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from sandbox.faults import Fault, Faults
from sandbox.resend import Books, create_app
from sandbox.serve import HttpServers
from sandbox.store import Store
from sandbox.tls import Authority
from services.auth.notifications.service import send_due
from shared.identity import generate_private_pem
from tests.auth.mail_process import API_KEY
from tests.auth.stage import PASSWORD, Stage, seconds

LEASE = 61


@dataclass
class Provider:
    """The sandbox's Resend on a port of this machine."""

    url: str
    ca_file: Path
    books: Books
    faults: Faults
    key: str

    async def turn(self, auth: Stage, now: datetime, crash: str | None = None) -> int:
        """Runs one worker until nothing is due; its exit code, negative for the signal that ended it."""
        told = {
            "database_url": auth.worker.database.engine.url.render_as_string(hide_password=False),
            "mail_key": self.key,
            "resend_url": self.url,
            "ca_file": str(self.ca_file),
            "now": now.isoformat(),
        }
        environment = {**os.environ, **({"SC_CRASHPOINT": crash} if crash else {})}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.auth.mail_process", stdin=asyncio.subprocess.PIPE, env=environment
        )
        await process.communicate(json.dumps(told).encode())
        assert process.returncode is not None
        return process.returncode

    def received(self, addresses: list[str]) -> list[int]:
        return [len(self.books.messages(address)) for address in addresses]


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    authority = Authority(tmp_path / "tls")
    servers = HttpServers(tmp_path, authority.issue("https", names=["localhost"], addresses=["127.0.0.1"]))
    books, faults = Books(Store(tmp_path / "books.sqlite3")), Faults(quiet=True)
    url = servers.reserve("resend")
    await servers.start("resend", create_app(books, faults, SecretStr(API_KEY), domain="sendchief.test"))
    yield Provider(url, authority.ca_file, books, faults, generate_private_pem().decode())
    await servers.stop()


async def sign_ups(auth: Stage, name: str, count: int) -> list[str]:
    """People whose confirmation waits to be sent."""
    addresses = [f"{name}{number}@people.test" for number in range(count)]
    for address in addresses:
        body = {"email": address, "password": PASSWORD, "name": "N"}
        assert (await auth.client.post("/v1/auth/signup", json=body)).status_code == 202
    return addresses


async def states(auth: Stage) -> set[str]:
    async with auth.worker.database.transaction() as session:
        return set((await session.execute(text("select state from notification"))).scalars())


@pytest.mark.parametrize(
    ("crash", "before"),
    [("mail.claimed", [0, 0, 0]), ("mail.sent", [1, 0, 0]), ("mail.sent:2", [1, 1, 0])],
)
async def test_a_killed_workers_mails_are_each_at_the_provider_once(
    auth: Stage, provider: Provider, crash: str, before: list[int]
) -> None:
    addresses = await sign_ups(auth, crash.replace(":", ".").replace("_", "."), 3)
    now = auth.clock.now()
    assert await provider.turn(auth, now, crash) == -signal.SIGKILL
    assert sorted(provider.received(addresses), reverse=True) == before
    assert await provider.turn(auth, now) == 0
    assert sorted(provider.received(addresses), reverse=True) == before, "another worker took what is leased"
    assert await provider.turn(auth, now + seconds(LEASE)) == 0
    assert provider.received(addresses) == [1, 1, 1]
    assert await states(auth) == {"sent"}


async def test_an_answer_that_was_lost_and_a_crash_after_it_make_one_mail(
    auth: Stage, provider: Provider
) -> None:
    addresses = await sign_ups(auth, "lost", 1)
    now = auth.clock.now()
    provider.faults.arm("resend", "emails.send", Fault("error_after_commit", status=500))
    assert await provider.turn(auth, now) == 0
    assert await provider.turn(auth, now + seconds(2), "mail.sent") == -signal.SIGKILL
    assert await provider.turn(auth, now + seconds(2 + LEASE)) == 0
    assert provider.received(addresses) == [1]
    assert await states(auth) == {"sent"}


async def test_many_workers_at_once_send_each_mail_once(auth: Stage) -> None:
    addresses = await sign_ups(auth, "many", 12)
    await asyncio.gather(*(send_due(auth.worker) for _ in range(8)))
    await auth.send_mail()
    assert sorted(mail.to for mail in auth.mail.mails if mail.to.startswith("many")) == sorted(addresses)
