"""Argon2id: off the event loop, a bounded number at a time, with the parameters of today."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher as Argon2
from pydantic import SecretStr
from sqlalchemy import text

from services.auth.errors import PasswordCheckBusy
from services.auth.passwords import PasswordHasher
from tests.auth.stage import PASSWORD, Stage


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    made = PasswordHasher(threads=1, queue=3)
    yield made
    made.close()


async def test_what_is_stored_is_argon2id_with_owasps_parameters(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(SecretStr(PASSWORD))
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.hash(SecretStr(PASSWORD)) != stored


async def test_another_implementation_reads_our_hashes_and_we_read_its(hasher: PasswordHasher) -> None:
    """The way out of passlib: the hashes are in the common form (PHC strings)."""
    assert Argon2().verify(await hasher.hash(SecretStr(PASSWORD)), PASSWORD)
    theirs = Argon2(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    verdict = await hasher.verify(SecretStr(PASSWORD), theirs)
    assert verdict.matched
    assert verdict.rehashed is not None


async def test_a_hash_with_old_parameters_is_replaced_at_the_next_sign_in(auth: Stage) -> None:
    person = await auth.person()
    old = Argon2(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    async with auth.worker.database.transaction() as session:
        await session.execute(
            text("update account set password_hash = :old where id = :id"), {"old": old, "id": person.id}
        )
    for _ in range(2):
        auth.client.cookies.clear()
        answer = await auth.client.post(
            "/v1/auth/sessions", json={"email": person.email, "password": PASSWORD}
        )
        assert answer.status_code == 201
    async with auth.worker.database.transaction() as session:
        found = await session.execute(
            text("select password_hash from account where id = :id"), {"id": person.id}
        )
        stored: str = found.scalar_one()
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_hashing_leaves_the_event_loop_free(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.auth import passwords

    began, go_on = threading.Event(), threading.Event()

    def hold(_: str) -> str:
        began.set()
        assert go_on.wait(30)
        return "hash"

    monkeypatch.setattr(passwords._CONTEXT, "hash", hold)
    hashing = asyncio.create_task(hasher.hash(SecretStr(PASSWORD)))
    assert await asyncio.to_thread(began.wait, 30)
    assert not hashing.done()
    go_on.set()
    assert await hashing == "hash"


async def test_beyond_the_queue_the_answer_is_to_come_back_and_then_it_goes_on(
    hasher: PasswordHasher,
) -> None:
    tries = await asyncio.gather(
        *(hasher.verify(SecretStr(PASSWORD), None) for _ in range(10)), return_exceptions=True
    )
    refused = [one for one in tries if isinstance(one, PasswordCheckBusy)]
    assert len(refused) == 6
    assert refused[0].status == 503
    assert refused[0].headers() == {"Retry-After": "2"}
    assert not (await hasher.verify(SecretStr(PASSWORD), None)).matched


@pytest.mark.parametrize("password", ["x" * 257, "x" * 5000, "\ud800", ""])
async def test_what_cannot_be_a_password_just_does_not_match(hasher: PasswordHasher, password: str) -> None:
    stored = await hasher.hash(SecretStr(PASSWORD))
    assert not (await hasher.verify(SecretStr(password), stored)).matched
