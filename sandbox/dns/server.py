"""The authoritative server: PowerDNS with its SQLite backend, steered by its HTTP API.

It carries every zone of the tree and listens on two addresses per family, so that each zone has two name servers.
Its API is on the authoritative address, port 8081, open to the control plane's address only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import httpx

from sandbox.daemon import until_ready
from sandbox.net.addresses import AUTHORITATIVE_DNS, CONTROL_PLANE
from sandbox.net.namespace import Namespace

SECOND_NAME_SERVER = 7
API_PORT = 8081
SCHEMA = Path("/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql")
SETTLE_SECONDS = 20.0

# No cache anywhere: what was written is what the next question gets.
CONFIG = """\
launch=gsqlite3
gsqlite3-database={directory}/zones.sqlite3
gsqlite3-dnssec=yes
gsqlite3-pragma-synchronous=0
gsqlite3-pragma-foreign-keys=1
local-address={addresses}
local-port=53
socket-dir={directory}
api=yes
api-key={key}
webserver=yes
webserver-address={api}
webserver-port={port}
webserver-allow-from={control}
webserver-loglevel=none
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
receiver-threads=1
distributor-threads=2
default-soa-content=ns1.sandbox.test hostmaster.sandbox.test 0 60 60 604800 5
default-ksk-algorithm=ecdsa256
guardian=no
daemon=no
setuid=
setgid=
security-poll-suffix=
version-string=anonymous
loglevel=4
"""


class ServerRefused(RuntimeError):
    """PowerDNS answered an API call with an error; the message is its own."""


class AuthoritativeServer:
    """One PowerDNS process; its zones live in ``<directory>/zones.sqlite3``."""

    def __init__(self, namespace: Namespace, directory: Path, log: Path) -> None:
        self._namespace = namespace
        self._directory = directory
        self._log = log
        self._key = ""
        self._client: httpx.AsyncClient | None = None
        addresses = namespace.addresses
        self.addresses_v4 = tuple(addresses.v4_of(n) for n in (AUTHORITATIVE_DNS, SECOND_NAME_SERVER))
        self.addresses_v6 = tuple(addresses.v6_of(n) for n in (AUTHORITATIVE_DNS, SECOND_NAME_SERVER))

    async def start(self) -> Process:
        """Start the daemon and wait until its API answers."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._make_database()
        self._key = secrets.token_urlsafe(24)
        config = self._directory / "pdns.conf"
        with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(self._config())
        self._client = httpx.AsyncClient(
            base_url=f"http://{self.addresses_v4[0]}:{API_PORT}/api/v1/servers/localhost",
            headers={"X-API-Key": self._key},
            timeout=10.0,
            trust_env=False,
        )
        process = await self._namespace.spawn(
            ["pdns_server", f"--config-dir={self._directory}"], log=self._log, cgroup="pdns"
        )
        await until_ready("pdns_server", process, self._log, self._answers, seconds=SETTLE_SECONDS)
        return process

    async def stop(self) -> None:
        """End the daemon; the zones stay on disk."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        await self._namespace.stop("pdns")

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the HTTP API, `path` below the server. Raises ServerRefused."""
        if self._client is None:
            raise ServerRefused("PowerDNS is not started")
        response = await self._client.request(method, path, json=body)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise KeyError(path)
        if response.is_error:
            raise ServerRefused(f"{method} {path}: {response.status_code} {response.text[:400]}")
        return response.json() if response.content else None

    async def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            await self.call("GET", "/config")
            return True
        return False

    def _make_database(self) -> None:
        path = self._directory / "zones.sqlite3"
        if path.exists():
            return
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        database = sqlite3.connect(temporary)
        with contextlib.closing(database):
            database.executescript("pragma journal_mode=wal;" + SCHEMA.read_text())
        temporary.replace(path)

    def _config(self) -> str:
        listen = [str(each) for each in (*self.addresses_v4, *self.addresses_v6)]
        return CONFIG.format(
            directory=self._directory,
            addresses=",".join(listen),
            key=self._key,
            api=self.addresses_v4[0],
            port=API_PORT,
            control=self._namespace.addresses.v4_of(CONTROL_PLANE),
        )
