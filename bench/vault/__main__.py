"""`make bench-vault`: how fast a rotation goes, and what readers feel of it.

One workspace with a million secrets on a PostgreSQL of the run's own; the key service and the rotation are processes as
in a stack. Readers reveal passwords through the API's application, over and over, for some seconds before the rotation
and all through it. A read is right when it gives the password that was stored. Ends with 1 when one failed, when a
secret was left behind, or when the readers' p99 during the rotation is more than twice that of before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from services.vault import envelope
from services.vault.app import create_app
from services.vault.keyservice import keyring
from services.vault.models import Mailbox
from services.vault.secret_bytes import SecretBytes
from services.vault.settings import ApiSettings
from services.vault.wiring import Resources, build_resources
from shared.bus.relay import asyncpg_arguments
from shared.db.database import Database
from shared.ids import new_id
from tests.fixtures import run
from tests.fixtures.database import Postgres, ServiceDatabase, make_database, make_roles, migrate
from tests.fixtures.identity import Trust, make_trust

ROOT = Path(__file__).parents[2]
MOST_RATIO = 2.0
READ_MAILBOXES, CHUNK = 1000, 20_000
COLUMNS = (
    "id", "workspace_id", "owner_kind", "owner_id", "field", "version", "state", "data_key_version", "wrap_nonce",
    "ciphertext",
)  # fmt: skip


@dataclass
class Reads:
    """Seconds of each read, and how many were wrong."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Bench:
    database: ServiceDatabase
    settings: ApiSettings
    resources: Resources
    client: httpx.AsyncClient
    trust: Trust
    workspace_id: str = field(default_factory=lambda: new_id("ws"))
    mailboxes: list[str] = field(default_factory=list)

    async def fill(self, secrets: int) -> None:
        """Secrets as the vault seals them, in by COPY as the superuser: row security allows it to nobody else."""
        api = Database.from_settings(self.settings)
        store = self.resources.mailboxes._store
        async with api.transaction(workspace_id=self.workspace_id) as session:
            key = await store._data_keys.for_encryption(session, self.workspace_id)
            self.mailboxes = [new_id("mbx") for _ in range(min(READ_MAILBOXES, secrets))]
            session.add_all(
                Mailbox(id=one, workspace_id=self.workspace_id, server_id="srv_a", address=f"{one[4:]}@example-a.test")
                for one in self.mailboxes
            )  # fmt: skip
        await api.dispose()
        connection = await asyncpg.connect(**asyncpg_arguments(self.database.superuser_url()))
        for start in range(0, secrets, CHUNK):
            owners = [
                self.mailboxes[n] if n < len(self.mailboxes) else new_id("mbx")
                for n in range(start, min(start + CHUNK, secrets))
            ]
            rows = [self._row(owner, key.key, key.version) for owner in owners]
            await connection.copy_records_to_table("secret", records=rows, columns=COLUMNS)
        await connection.execute("analyze secret")
        await connection.close()

    def _row(self, owner: str, key: SecretBytes, version: int) -> tuple[Any, ...]:
        binding = envelope.Binding(
            self.settings.environment, self.workspace_id, "mailbox", owner, "password", 1
        )
        sealed = envelope.encrypt(
            SecretBytes(owner.encode()), data_key=key, data_key_version=version, binding=binding,
            random_bytes=os.urandom,
        )  # fmt: skip
        nonce = envelope.wrap_nonce(sealed)
        return (
            new_id("sec"), self.workspace_id, "mailbox", owner, "password", 1, "current", version, nonce, sealed,
        )  # fmt: skip

    async def read(self, reads: Reads, ended: asyncio.Event, number: int) -> None:
        """Reveals one password after another until `ended`; each mailbox's password is its own id."""
        turn = number
        while not ended.is_set():
            mailbox_id, turn = self.mailboxes[turn % len(self.mailboxes)], turn + 7
            headers = self.trust.user(
                "vault", workspace_id=self.workspace_id, permissions=["credentials.reveal"]
            )
            path = f"/v1/workspaces/{self.workspace_id}/mailboxes/{mailbox_id}/reveal"
            began = time.perf_counter()
            answer = await self.client.post(path, json={"reason": "bench"}, headers=headers)
            reads.seconds.append(time.perf_counter() - began)
            reads.failed += not (answer.is_success and answer.json()["password"] == mailbox_id)

    @contextlib.asynccontextmanager
    async def readers(self, count: int) -> AsyncIterator[Reads]:
        reads, ended = Reads(), asyncio.Event()
        tasks = [asyncio.create_task(self.read(reads, ended, number)) for number in range(count)]
        try:
            yield reads
        finally:
            ended.set()
            await asyncio.gather(*tasks)

    async def rotate(self) -> tuple[float, dict[str, Any]]:
        """(seconds, report) of the command, its start included."""
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.vault.admin", "rotate", "--workspace", self.workspace_id, "--new-key",
            cwd=ROOT, stdout=subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"],
                "SC_DATABASE_URL": self.database.worker_url,
                "SC_SOCKET": "/nonexistent/socket",
                "SC_ENVIRONMENT": self.settings.environment,
                "SC_KEY_SERVICE_SOCKET": str(self.settings.key_service_socket),
                "SC_IDENTITY_TRUST_DIR": str(self.trust.directory),
                "SC_LOG_LEVEL": "WARNING",
            },
        )  # fmt: skip
        printed, _ = await process.communicate()
        return time.perf_counter() - began, json.loads(printed)


@contextlib.asynccontextmanager
async def key_service(directory: Path) -> AsyncIterator[Path]:
    """The socket of a key service with a keyring of its own."""
    key, socket = keyring.new_root_key(datetime.now(UTC)), directory / "keys.sock"
    keyring.create(directory / "keyring", keyring.Keyring((key,), key.id))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.vault.keyservice",
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "SC_SOCKET": str(socket),
            "SC_KEYRING_FILE": str(directory / "keyring"),
            "SC_ALLOWED_UIDS": str(os.geteuid()),
            "SC_LOG_LEVEL": "WARNING",
        },
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while not socket.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        yield socket
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def bench(directory: Path, postgres: Postgres) -> AsyncIterator[Bench]:
    database = make_database(postgres, "vault")
    migrate("vault", database.owner_url)
    trust = make_trust(directory / "keys", directory / "trust")
    async with key_service(directory) as socket:
        settings = trust.settings(
            ApiSettings, "vault", "api", database, key_service_socket=socket, log_level="WARNING"
        )
        resources = build_resources(settings)
        app = create_app(settings, resources)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://vault", timeout=60) as client:
            yield Bench(database, settings, resources, client, trust)
        await app.state.database.dispose()


async def measure(one: Bench, secrets: int, readers: int, before_seconds: float) -> dict[str, Any]:
    began = time.perf_counter()
    await one.fill(secrets)
    print(f"  {secrets:,} secrets sealed and stored in {time.perf_counter() - began:.0f} s", flush=True)
    async with one.readers(readers):
        await asyncio.sleep(2)  # connections and caches
    async with one.readers(readers) as before:
        await asyncio.sleep(before_seconds)
    async with one.readers(readers) as during:
        seconds, report = await one.rotate()
    return {
        "secrets": secrets,
        "rewrapped": report["secrets_rewrapped"],
        "damaged": len(report["damaged"]),
        "seconds": seconds,
        "rows_per_second": report["secrets_rewrapped"] / seconds,
        "readers": readers,
        "reads": {"before": len(before.seconds), "during": len(during.seconds)},
        "failed": before.failed + during.failed,
        "p50": {"before": before.percentile(0.5), "during": during.percentile(0.5)},
        "p99": {"before": before.percentile(0.99), "during": during.percentile(0.99)},
        "p99_ratio": during.percentile(0.99) / before.percentile(0.99),
    }


def table(found: dict[str, Any]) -> Sequence[str]:
    rows = [
        f"{found['rewrapped']:,} of {found['secrets']:,} secrets rewrapped in {found['seconds']:.1f} s: "
        f"{found['rows_per_second']:,.0f} rows/s",
        f"{found['readers']} readers: {found['failed']} of {sum(found['reads'].values())} reads failed",
    ]
    for name in ("p50", "p99"):
        before, during = found[name]["before"] * 1000, found[name]["during"] * 1000
        rows.append(f"{name}: {before:.1f} ms before, {during:.1f} ms during, {during / before:.2f} x")
    return rows


async def main(secrets: int, readers: int, before_seconds: float) -> int:
    run.begin()
    cluster = run.cluster()
    try:
        cluster.start()
        run.claim()
        postgres = Postgres(cluster, "bench")
        make_roles(postgres)
        with tempfile.TemporaryDirectory(prefix="sc-bench-") as place:
            async with bench(Path(place), postgres) as one:
                found = await measure(one, secrets, readers, before_seconds)
    finally:
        cluster.stop("immediate")
        run.end()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print("\n".join(table(found)))
    target = ROOT / "var/bench/vault.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"rotation": found, "load_average": os.getloadavg()}, indent=2) + "\n")
    whole = found["rewrapped"] == secrets and not found["failed"]
    return 0 if whole and found["p99_ratio"] <= MOST_RATIO else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.vault", description=__doc__)
    parser.add_argument("--secrets", type=int, default=1_000_000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--before", type=float, default=20, metavar="SECONDS")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.secrets, chosen.readers, chosen.before)))
