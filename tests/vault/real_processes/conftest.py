"""Key service and API that run, with their root keys in a keyring or in a KMS."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.vault.keyservice import keyring
from shared.clock import SystemClock
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.kms import serving
from tests.vault.real_processes.processes import API_UID, KEYS_UID, RootKeys, Running, process


@pytest.fixture
async def root_keys(request: pytest.FixtureRequest, open_directory: Path) -> AsyncIterator[RootKeys]:
    """In a keyring, or with "transit" in a KMS: a file that only the key service's uid may read."""
    if getattr(request, "param", "keyring") == "keyring":
        key = keyring.new_root_key(SystemClock().now())
        file = open_directory / "keyring"
        keyring.create(file, keyring.Keyring((key,), key.id), owner=KEYS_UID)
        yield RootKeys(
            {"SC_KEYRING_FILE": str(file)}, file, base64.b64encode(key.key.reveal()), key.key.reveal(), 1
        )
        return
    async with serving(open_directory / "kms") as kms:
        made = kms.transit_books.create("", kms.transit_key, "aes256-gcm96")
        token, authority = open_directory / "token", open_directory / "authority.pem"
        shutil.copy(kms.ca_file, authority)
        authority.chmod(0o644)
        token.write_text(kms.transit_token)
        token.chmod(0o600)
        os.chown(token, KEYS_UID, -1)
        environment = {
            "SC_ROOT_KEYS": "transit", "SC_TRANSIT_URL": kms.transit_url, "SC_TRANSIT_KEY": kms.transit_key,
            "SC_TRANSIT_TOKEN_FILE": str(token), "SC_KMS_CA_FILE": str(authority), "SC_KMS_TIMEOUT_SECONDS": "20",
        }  # fmt: skip
        root = bytes.fromhex(made["material"]["1"]["key"])
        yield RootKeys(environment, token, kms.transit_token.encode(), root, 0)


@pytest.fixture
def running(
    open_directory: Path, trust: Trust, service_database: ServiceDatabases, root_keys: RootKeys
) -> Iterator[Running]:
    database = service_database("vault")
    public = shutil.copytree(trust.directory, open_directory / "trust")
    public.chmod(0o755)
    sockets = open_directory / "run"
    sockets.mkdir(mode=0o777)
    sockets.chmod(0o777)
    with contextlib.ExitStack() as started:
        keys = started.enter_context(
            process(
                ["services.vault.keyservice"], KEYS_UID,
                {"SC_ALLOWED_UIDS": str(API_UID), **root_keys.environment},
                sockets / "keys.sock", open_directory / "keys.log",
            )
        )  # fmt: skip
        api = started.enter_context(
            process(
                ["shared.web.serve", "services.vault.app"], API_UID,
                {
                    "SC_DATABASE_URL": database.app_url,
                    "SC_KEY_SERVICE_SOCKET": str(sockets / "keys.sock"),
                    "SC_KEY_SERVICE_TIMEOUT_SECONDS": "30",
                    "SC_IDENTITY_TRUST_DIR": str(public),
                },
                sockets / "vault.sock", open_directory / "api.log",
            )
        )  # fmt: skip
        yield Running(open_directory, api, keys, root_keys, database)
