"""Each process of each service starts with nothing else there, says that it is not ready, and becomes so by itself
once its own database (and, for workers, the broker) is there: no order of starting, no other service."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.local.databases import SERVICES
from infra.local.ports import free_ports
from services.auth.bindings import BINDINGS as AUTH
from services.dns.bindings import BINDINGS as DNS
from services.provisioner.bindings import BINDINGS as PROVISIONER
from services.reputation.bindings import BINDINGS as REPUTATION
from services.vault.bindings import BINDINGS as VAULT
from shared.identity import generate_private_pem, public_pem_of
from tests.faults.stack import Door, told
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fixtures.processes import Processes
from tests.isolation.factories.vault import key_service

BINDINGS = {"auth": AUTH, "dns": DNS, "provisioner": PROVISIONER, "reputation": REPUTATION, "vault": VAULT}
NOBODY = "https://127.0.0.1:1"


def secret(length: int = 32) -> str:
    return base64.urlsafe_b64encode(b"s" * length).decode()


def api(service: str, directory: Path) -> tuple[dict[str, str], dict[str, Any]]:
    if service != "auth":
        return told(service, directory)
    (directory / "mail.pem").write_bytes(public_pem_of(generate_private_pem()))
    secrets = {
        "access_key": generate_private_pem(),
        "sc_api_key_pepper": secret(),
        "sc_second_factor_key": secret(),
        "sc_webhook_key": secret(),
        "sc_resend_webhook_secret": "whsec_c2VjcmV0",
    }
    return {"SC_MAIL_PUBLIC_KEY_FILE": str(directory / "mail.pem")}, secrets


def worker(service: str, directory: Path) -> tuple[dict[str, str], dict[str, Any]]:
    if service == "auth":
        environment = {"SC_RESEND_URL": NOBODY, "SC_MAIL_FROM": "SendChief <hello@sendchief.test>"}
        secrets = {
            "mail_key": generate_private_pem(),
            "sc_resend_api_key": "re_x",
            "sc_webhook_key": secret(),
        }
        return environment, secrets
    if service == "vault":
        return {"SC_KEY_SERVICE_SOCKET": str(directory / "keys.sock")}, {}
    if service == "dns":
        environment = {"SC_PLATFORM_ZONE": "sendchief.test", "SC_CLOUDFLARE_URL": NOBODY}
        return environment, {"sc_platform_zone_token": "cf_x", "identity_key": generate_private_pem()}
    if service == "provisioner":
        ssh = ed25519.Ed25519PrivateKey.generate()
        environment = {
            "SC_PLATFORM_ZONE": "sendchief.test",
            "SC_SCALEWAY_URL": NOBODY,
            "SC_SCALEWAY_PROJECT": "p",
            "SC_STRIPE_URL": NOBODY,
            "SC_CONTROL_PLANE_V4": "198.51.100.1/32",
            "SC_ACME_DIRECTORY": NOBODY,
            "SC_ACME_CONTACT": "hostmaster@sendchief.test",
            "SC_SELF_TEST_EGRESS": "198.51.100.2:25",
        }
        return environment, {
            "sc_scaleway_secret_key": "scw_x",
            "sc_stripe_secret_key": "sk_test_x",
            "sc_host_key_secret": secret(),
            "ssh_ca_key": ssh.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
            "identity_key": generate_private_pem(),
        }
    return {}, {}


class BrokerDoor:
    """A loopback port that leads to the broker once it is opened; until then nobody listens on it."""

    def __init__(self, rabbit: Rabbit) -> None:
        self.port = free_ports(1)[0]
        self._behind = rabbit.node.ports["amqp"]
        self._server: asyncio.AbstractServer | None = None

    def url(self, url: str) -> str:
        return url.replace(f":{self._behind}/", f":{self.port}/")

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", self._behind)
        await asyncio.gather(_copy(reader, outer), _copy(inner, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
def processes(trust: Trust, tmp_path: Path) -> Processes:
    return Processes(tmp_path, trust)


@asynccontextmanager
async def alone(
    service: str, role: str, processes: Processes, database: Door, broker: BrokerDoor, rabbit: Rabbit
) -> AsyncIterator[httpx.AsyncClient]:
    environment, secrets = (api if role == "api" else worker)(service, processes.directory)
    if role == "worker":
        secrets["sc_amqp_url"] = broker.url(rabbit.url(service))
    module = (
        ["shared.web.serve", f"services.{service}.app"] if role == "api" else [f"services.{service}.worker"]
    )
    url = database.database.app_url if role == "api" else database.database.worker_url
    async with AsyncExitStack() as stack:
        stack.push_async_callback(broker.shut)
        stack.push_async_callback(database.shut)
        stack.push_async_callback(processes.stop)
        await processes.start(
            service,
            module,
            {"SC_SERVICE": service, "SC_ROLE": role, **environment},
            **{"sc_database_url": url, **secrets},
        )
        yield await stack.enter_async_context(processes.client(service))


async def lives(client: httpx.AsyncClient, processes: Processes, name: str) -> None:
    async with asyncio.timeout(60):
        while True:
            assert processes.running[name].returncode is None, processes.log(name)
            try:
                if (await client.get("/healthz")).status_code == 200:
                    return
            except httpx.HTTPError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("role", ["api", "worker"])
@pytest.mark.parametrize("service", SERVICES)
async def test_a_process_starts_with_nothing_else_there(
    service: str,
    role: str,
    processes: Processes,
    rabbit: Rabbit,
    service_database: ServiceDatabases,
    tmp_path: Path,
) -> None:
    await rabbit.declare(BINDINGS[service])
    database, broker = Door(tmp_path / "door", service_database(service)), BrokerDoor(rabbit)
    async with alone(service, role, processes, database, broker, rabbit) as client:
        await lives(client, processes, service)
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["database"]) == (503, "failed")
        await database.open()
        await broker.open()
        async with key_service(tmp_path / "keys.sock"):  # the vault's API is of no use without it
            await processes.ready(service)
