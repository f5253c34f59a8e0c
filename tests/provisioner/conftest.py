"""A stage per test, on the module's database; on it the API, workers that can be killed, and a worker's environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.provisioner.hosts.ssh_authority import SshAuthority
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.provisioner.api import Api
from tests.provisioner.stage import Stage
from tests.provisioner.workers import Workers

TABLES = (
    "mailbox_verifier", "mailbox", "domain", "job", "step_log", "condition", "address", "cloud_resource", "server",
    "invoice", "refund", "subscription", "proven_zone", "stripe_event", "sweep_finding", "provider_gate",
    "workspace_deletion", "outbox", "inbox", "idempotency_key",
)  # fmt: skip


@pytest.fixture
async def stage(service_database: ServiceDatabases, trust: Trust) -> AsyncIterator[Stage]:
    database = service_database("provisioner")
    database.empty(TABLES)
    made = Stage.build(trust, database)
    await made.publish_prices()
    yield made
    await made.database.dispose()


@pytest.fixture
async def api(stage: Stage, service_database: ServiceDatabases, trust: Trust) -> AsyncIterator[Api]:
    made = Api.build(stage, trust, service_database("provisioner"))
    yield made
    await made.aclose()


@pytest.fixture
def environment(stage: Stage, trust: Trust, tmp_path: Path) -> dict[str, str]:
    """What the worker's process is told, secrets as files."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("database_url", "scaleway_secret_key", "stripe_secret_key", "host_key_secret"):
        (secrets / f"sc_{name}").write_text(getattr(stage.settings, name).get_secret_value())
    (tmp_path / "ca").write_text(SshAuthority.generate().get_secret_value())
    return {
        "PATH": os.environ["PATH"],
        "SC_SERVICE": "provisioner",
        "SC_ROLE": "worker",
        "SC_ENVIRONMENT": "test",
        "SC_SOCKET": str(tmp_path / "s.sock"),
        "SC_SECRETS_DIR": str(secrets),
        "SC_IDENTITY_TRUST_DIR": str(trust.directory),
        "SC_IDENTITY_KEY_FILE": str(trust.key_file("provisioner")),
        "SC_PLATFORM_ZONE": "sendchief.test",
        "SC_SCALEWAY_PROJECT": "p",
        "SC_SCALEWAY_URL": "https://127.0.0.1:1",
        "SC_SSH_CA_KEY_FILE": str(tmp_path / "ca"),
        "SC_CONTROL_PLANE_V4": "198.51.100.62/32",
        "SC_ACME_CONTACT": "hostmaster@sendchief.test",
        "SC_SELF_TEST_EGRESS": "198.51.100.6:25",
    }


@pytest.fixture
async def workers(stage: Stage, tmp_path: Path) -> AsyncIterator[Workers]:
    stage.settings.lease_seconds = 1.0
    with tempfile.TemporaryDirectory(prefix="sc-kill-") as short:
        socket = Path(short) / "outside.sock"
        server = await stage.outside.serve(socket)
        made = Workers(stage, tmp_path, socket)
        yield made
        made.end()
        server.close()
