"""Signing keys are replaced while people work: nobody notices, and the old key ends when it should."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.local.key_rotation import AccessKey, IdentityKey, NotKnown, OwnKey, rotate
from infra.local.rotate import accepted_by
from services.auth.bindings import BINDINGS
from shared.identity import generate_private_pem, key_id, load_trust, public_pem_of
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.processes import Processes, Signed, identity_processes, signed_in, signed_up
from tests.gateway.edge import eventually

GATEWAYS = ("gateway", "gateway-2")
AT_ONCE = 8
UNLIMITED = {"SC_RATE_LIMIT_SIGNED_IN": "10000000", "SC_RATE_LIMIT_PUBLIC": "10000000"}


@pytest.fixture
async def processes(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[Processes]:
    await rabbit.declare(BINDINGS)
    urls = {name: rabbit.url(name) for name in ("auth", "gateway")}
    async with identity_processes(
        tmp_path, trust, service_database("auth"), urls, gateways=GATEWAYS,
        gateway_environment={**UNLIMITED, "SC_KEY_REFRESH_SECONDS": "1"}, log_level="WARNING",
    ) as made:  # fmt: skip
        yield made


class Load:
    """People who work without a pause, each with a session of his own, and renew their tokens all the time."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self._over = asyncio.Event()

    async def run(self, person: Signed) -> None:
        while not self._over.is_set():
            for _ in range(5):
                answer = await person.client.get("/v1/me", headers=person.headers)
                self.answers["work", answer.status_code] += 1
            answer = await person.renew()
            self.answers["renew", answer.status_code] += 1

    async def at_least(self, requests: int) -> None:
        """Returns when so many more have been answered."""
        wanted = self.answers.total() + requests
        await eventually(lambda: self.answers.total() >= wanted, 60)

    def end(self) -> None:
        self._over.set()


@pytest.mark.asvs("11.2.2")
async def test_keys_are_replaced_under_load_without_one_failed_request(
    processes: Processes, trust: Trust, tmp_path: Path
) -> None:
    installed = processes.secrets("auth") / "access_key"
    access = AccessKey(
        OwnKey(_copy(installed, tmp_path), (installed,)),
        tmp_path / "published",
    )
    identity = IdentityKey(
        "gateway",
        OwnKey(
            trust.key_file("gateway"),
            tuple(processes.secrets(name) / "identity_key" for name in GATEWAYS),
        ),
        trust.directory / "gateway.pem",
    )
    sockets = [processes.directory / f"{name}.sock" for name in GATEWAYS]
    load = Load()
    clients: list[httpx.AsyncClient] = []
    people = []
    for number in range(AT_ONCE):
        clients.append(processes.client(GATEWAYS[number % len(GATEWAYS)]))
        who = "ada@people.test"
        make = signed_up(processes, clients[-1], who) if number == 0 else signed_in(clients[-1], who)
        people.append(await make)
    before = people[0].token
    work = [asyncio.create_task(load.run(person)) for person in people]
    try:
        await load.at_least(200)
        kid = await rotate(access, accepted_by(sockets))
        await load.at_least(400)
        assert await _signs_with(people[0], kid)
        former = identity.own.public()
        newer = await rotate(identity, _looked)
        await load.at_least(400)
        assert set(load_trust(trust.directory)["gateway"]) == {newer, key_id("gateway", former)}
    finally:
        load.end()
        await asyncio.gather(*work)
    assert {status for _, status in load.answers} == {200}, load.answers
    assert load.answers.total() > 1000

    # The end of the old keys: tokens of theirs are refused by whoever has looked again.
    assert access.retire(older_than=3600) == []
    assert (await clients[0].get("/v1/me", headers=_bearer(before))).status_code == 200
    assert len(access.retire(older_than=0)) == 1
    for client in clients[:2]:
        async with asyncio.timeout(20):
            answer = await client.get("/v1/me", headers=_bearer(before))
            while answer.status_code != 401:
                await asyncio.sleep(0.1)
                answer = await client.get("/v1/me", headers=_bearer(before))
        assert (await client.get("/v1/me", headers=people[0].headers)).status_code == 200
    for client in clients:
        await client.aclose()


async def test_a_key_that_a_gateway_does_not_know_never_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.local.key_rotation.KNOWN_SECONDS", 0.5)
    private = generate_private_pem()
    for name in ("own", "installed"):
        (tmp_path / name).write_bytes(private)
    access = AccessKey(OwnKey(tmp_path / "own", (tmp_path / "installed",)), tmp_path / "published")
    with pytest.raises(NotKnown, match="the old key still signs"):
        await rotate(access, accepted_by([tmp_path / "nobody.sock"]))
    assert (tmp_path / "installed").read_bytes() == private
    published = {file.stem for file in access.published.iterdir()}
    assert access.retire(older_than=0) == []  # what is to come is kept, and so is what signs
    assert {file.stem for file in access.published.iterdir()} == published
    kid = await rotate(access, _looked)  # begun again, with the same next key
    assert kid in published
    assert kid == key_id("auth", public_pem_of((tmp_path / "installed").read_bytes()))


def _copy(file: Path, directory: Path) -> Path:
    """The operator's own copy."""
    (directory / "own-access.key").write_bytes(file.read_bytes())
    return directory / "own-access.key"


async def _looked(kid: str) -> bool:
    """Whoever verifies looks at the trust directory each second."""
    await asyncio.sleep(1.5)
    return True


async def _signs_with(person: Signed, kid: str) -> bool:
    jwks = (await person.client.get("/v1/auth/jwks")).json()
    return bool(jwks["keys"][0]["kid"] == kid and len(jwks["keys"]) == 2)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
