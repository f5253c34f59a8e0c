"""Both processes as they are really started: settings from the environment, secrets as files, sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.provisioner.bindings import BINDINGS
from services.provisioner.hosts.ssh_authority import SshAuthority
from tests.fixtures import run
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sc-prov-") as short:
        yield Path(short)


def common(directory: Path, trust: Trust, role: str, secrets: dict[str, str]) -> dict[str, str]:
    files = directory / f"secrets-{role}"
    files.mkdir()
    for name, content in secrets.items():
        (files / name).write_text(content)
    return {
        "PATH": os.environ["PATH"],
        "SC_SERVICE": "provisioner",
        "SC_ROLE": role,
        "SC_ENVIRONMENT": "test",
        "SC_SOCKET": str(directory / f"{role}.sock"),
        "SC_SECRETS_DIR": str(files),
        "SC_IDENTITY_TRUST_DIR": str(trust.directory),
        "SC_SERVICES_DIR": str(directory),
    }


@contextmanager
def running(environment: dict[str, str], *module: str) -> Iterator[subprocess.Popen[bytes]]:
    log = Path(environment["SC_SOCKET"]).with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=run.ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def ready(socket: str, process: subprocess.Popen[bytes]) -> bool:
    """Waits until `/readyz` says 200."""
    client = httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://local")
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return True
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    return False


async def test_the_worker_starts_reads_its_queues_and_stops(
    service_database: ServiceDatabases, rabbit: Rabbit, trust: Trust, directory: Path
) -> None:
    await rabbit.declare(BINDINGS)
    (directory / "ssh_ca").write_text(SshAuthority.generate().get_secret_value())
    secrets = {
        "sc_database_url": service_database("provisioner").worker_url,
        "sc_amqp_url": rabbit.url("provisioner"),
        "sc_scaleway_secret_key": "00000000-0000-4000-8000-000000000000",
        "sc_stripe_secret_key": "sk_test",
        "sc_host_key_secret": "s" * 40,
    }
    environment = common(directory, trust, "worker", secrets) | {
        "SC_IDENTITY_KEY_FILE": str(trust.key_file("provisioner")),
        "SC_PLATFORM_ZONE": "sendchief.test",
        "SC_SCALEWAY_URL": "https://127.0.0.1:1",
        "SC_SCALEWAY_PROJECT": "p",
        "SC_STRIPE_URL": "https://127.0.0.1:1",
        "SC_SSH_CA_KEY_FILE": str(directory / "ssh_ca"),
        "SC_CONTROL_PLANE_V4": "198.51.100.62/32",
        "SC_ACME_CONTACT": "hostmaster@sendchief.test",
        "SC_SELF_TEST_EGRESS": "198.51.100.6:25",
    }
    log = directory / "worker.log"
    with running(environment, "services.provisioner.worker") as process:
        assert ready(environment["SC_SOCKET"], process), log.read_text()[-3000:]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()[-3000:]
    text = log.read_text()
    assert not any(
        secret in text for name, secret in secrets.items() if name.startswith(("sc_sca", "sc_host"))
    )


def test_the_api_starts_without_cloud_or_ssh_credentials(
    service_database: ServiceDatabases, trust: Trust, directory: Path
) -> None:
    secrets = {
        "sc_database_url": service_database("provisioner").app_url,
        "sc_stripe_checkout_key": "rk_test",
        "sc_stripe_webhook_secret": "whsec_test",
    }
    environment = common(directory, trust, "api", secrets)
    log = directory / "api.log"
    with running(environment, "shared.web.serve", "services.provisioner.app") as process:
        assert ready(environment["SC_SOCKET"], process), log.read_text()[-3000:]
        client = httpx.Client(
            transport=httpx.HTTPTransport(uds=environment["SC_SOCKET"]), base_url="http://local"
        )
        headers = trust.user("provisioner", workspace_id=None)
        assert client.get("/v1/regions", headers=headers).status_code == 200
        assert client.get("/v1/regions").status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
