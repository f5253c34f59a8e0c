"""Key services over each store of root keys, put together from settings as the process does it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.faults import Fault
from services.vault.keyservice import __main__ as command
from services.vault.keyservice import keyring
from services.vault.keyservice.root_keys import KeyringStore
from services.vault.keyservice.server import KeyServer
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.keyservice.wiring import build_stores
from services.vault.providers.local_key_service import LocalKeyService
from tests.fixtures.kms import NAMESPACE, Kms, serving
from tests.vault.conftest import Keys

ANYBODY = frozenset({os.geteuid()})
WRONG_KEY = "00000000-0000-0000-0000-000000000000"


@dataclass
class Provider:
    """One store of root keys behind a key service of its own. `rotate` and the others are its owner's doing."""

    kind: str
    directory: Path
    settings: dict[str, Any]
    rotate: Callable[[], Awaitable[None]]
    disable: Callable[[], Awaitable[None]]
    enable: Callable[[], Awaitable[None]]
    wrong_credential: dict[str, Any]
    fault: Callable[[Fault], None] | None
    secrets: list[str]
    """What must be read nowhere."""
    keys: Keys = field(init=False)
    ring: KeyringStore | None = None
    exits: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def serve(
        self, name: str = "keys.sock", uids: frozenset[int] = ANYBODY, **changes: Any
    ) -> tuple[Keys, KeyringStore | None]:
        """A key service with these settings, until the test ends."""
        values: dict[str, Any] = {
            "socket": self.directory / name,
            "allowed_uids": uids,
            "kms_timeout_seconds": 15,
        }
        stores, ring = build_stores(KeyServiceSettings(**values | self.settings | changes))
        keys = Keys(self.directory / name, KeyServer(stores, uids))
        await keys.start()
        self.exits.push_async_callback(stores.aclose)
        self.exits.push_async_callback(keys.stop)
        return keys, ring

    @property
    def service(self) -> LocalKeyService:
        return LocalKeyService(self.keys.socket, timeout_seconds=20)

    async def denied(self) -> LocalKeyService:
        """The same, for whom it may not serve: another uid, or a key service with another credential."""
        uids = ANYBODY if self.wrong_credential else frozenset({os.geteuid() + 1})
        keys, _ = await self.serve("denied.sock", uids, **self.wrong_credential)
        return LocalKeyService(keys.socket, timeout_seconds=20)

    async def away(self) -> LocalKeyService:
        """Nobody listens where it should be."""
        if self.kind == "keyring":
            return LocalKeyService(self.directory / "nobody.sock")
        keys, _ = await self.serve("away.sock", ANYBODY, **{f"{self.kind}_url": "https://127.0.0.1:9"})
        return LocalKeyService(keys.socket, timeout_seconds=20)

    async def slow(self) -> LocalKeyService:
        """It takes thirty seconds for an answer, and whoever waits has less patience."""
        if self.fault is None:
            silent = await asyncio.start_unix_server(
                lambda *_: asyncio.sleep(30), path=str(self.directory / "slow.sock")
            )
            self.exits.callback(silent.close)
            return LocalKeyService(self.directory / "slow.sock", timeout_seconds=0.1)
        self.fault(Fault("delay", seconds=30, count=10))
        keys, _ = await self.serve("slow.sock", kms_timeout_seconds=0.3)
        return LocalKeyService(keys.socket, timeout_seconds=20)


async def nothing() -> None:
    return None


def of_keyring(directory: Path) -> Provider:
    file = directory / "keyring"
    command.main(["init", "--keyring", str(file)])

    async def rotate() -> None:
        command.main(["add-key", "--keyring", str(file)])
        assert made.ring is not None
        made.ring.use(keyring.load(file))

    secrets = [re.findall(r'"key": "([^"]+)"', file.read_text())[0]]
    made = Provider("keyring", directory, {"keyring_file": file}, rotate, nothing, nothing, {}, None, secrets)
    return made


async def of_scaleway(directory: Path, kms: Kms) -> Provider:
    key = await kms.new_scaleway_key()

    def act(action: str) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            (await kms.ask_scaleway("POST", f"/{key}/{action}")).raise_for_status()

        return ask

    secret = kms.scaleway.secret_key.get_secret_value()
    settings = {
        "root_keys": "scaleway", "scaleway_url": kms.scaleway_url, "scaleway_key_id": key,
        "scaleway_secret_key": secret, "kms_ca_file": kms.ca_file,
    }  # fmt: skip
    return Provider(
        "scaleway", directory, settings, act("rotate"), act("disable"), act("enable"),
        {"scaleway_secret_key": WRONG_KEY}, lambda fault: kms.faults.arm("scaleway", "*", fault), [secret],
    )  # fmt: skip


async def of_transit(directory: Path, kms: Kms) -> Provider:
    books = kms.transit_books
    books.create(NAMESPACE, kms.transit_key, "aes256-gcm96")
    token, wrong = directory / "token", directory / "wrong-token"
    token.write_text(kms.transit_token + "\n")
    wrong.write_text("hvs.wrong")

    async def rotate() -> None:
        books.rotate(books.usable(NAMESPACE, kms.transit_key))

    def soft_deleted(deleted: bool) -> Callable[[], Awaitable[None]]:
        async def change() -> None:
            key = books.find(NAMESPACE, kms.transit_key)
            assert key is not None
            books.save(key | {"soft_deleted": deleted})

        return change

    settings = {
        "root_keys": "transit", "transit_url": kms.transit_url, "transit_key": kms.transit_key,
        "transit_namespace": NAMESPACE, "transit_token_file": token, "kms_ca_file": kms.ca_file,
    }  # fmt: skip
    return Provider(
        "transit", directory, settings, rotate, soft_deleted(True), soft_deleted(False),
        {"transit_token_file": wrong}, lambda fault: kms.faults.arm("transit", "*", fault),
        [kms.transit_token],
    )  # fmt: skip


@pytest.fixture
async def kms(tmp_path: Path) -> AsyncIterator[Kms]:
    async with serving(tmp_path) as made:
        yield made


@pytest.fixture(params=["keyring", "scaleway", "transit"])
async def provider(request: pytest.FixtureRequest, tmp_path: Path, kms: Kms) -> AsyncIterator[Provider]:
    match request.param:
        case "keyring":
            made = of_keyring(tmp_path)
        case "scaleway":
            made = await of_scaleway(tmp_path, kms)
        case _:
            made = await of_transit(tmp_path, kms)
    async with made.exits:
        made.keys, made.ring = await made.serve()
        yield made


def answering(handler: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    """A client whose every request is answered by `handler`: for answers that no stand-in gives."""
    return httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="https://kms.test")
