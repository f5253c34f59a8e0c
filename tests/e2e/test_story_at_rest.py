"""After the story: no secret that was made in it lies anywhere but where it belongs.

Looked through are logs, evidence, a dump of every database (outboxes and what waits in them included), the broker's
files (queues and parked messages included), argv and environment of every process, and what a customer's server has
written. Each place is also asked for something that must be there: a place that was not really read would hold no
secret either.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from demo.world import World
from infra.local.accounts import UIDS
from infra.local.postgres import SUPERUSER, binaries
from tests.e2e.conftest import Told
from tests.e2e.heard import SHORTEST

pytestmark = [pytest.mark.stack, pytest.mark.asvs("16.2.5")]

KINDS = {
    "access_token", "token", "password", "cookie", "link in a mail", "key", "authenticator key",
    "authenticator key, bytes", "recovery code",
}  # fmt: skip
LARGEST = 20_000_000
"""Bytes of a file on a customer's server beyond which it is a program's data, not something written about a secret."""


def forms(secret: str) -> tuple[bytes, bytes]:
    """As text, and as a dump shows bytes."""
    return secret.encode(), secret.encode().hex().encode()


def found(secrets: Iterable[str], text: bytes) -> list[str]:
    """The secrets that stand in `text`, cut short: what failed is shown."""
    return [secret[:6] + "…" for secret in secrets if any(form in text for form in forms(secret))]


@pytest.fixture(scope="module")
def heard(told: Told) -> dict[str, str]:
    """secret -> kind."""

    async def mails() -> Any:
        world = World(told.stack.endpoints_file)
        try:
            return await world.books("resend")
        finally:
            await world.close()

    told.heard.mails(asyncio.run(mails()))
    told.heard.take(json.loads((told.stack.layout.var / "logins.json").read_text()))
    return told.heard.kinds


@pytest.fixture(scope="module")
def ours(told: Told) -> list[str]:
    """Keys and passwords of the stack itself: lines of its files, passwords of URLs, and the root keys."""
    files = [file for folder in told.stack.layout.secrets.iterdir() for file in folder.iterdir()]
    lines = {line for file in files for line in file.read_text().splitlines() if not line.startswith("-----")}
    lines |= {urlsplit(line).password or "" for line in lines if "://" in line}
    keyring = json.loads((told.stack.layout.home / "keyring/keyring.json").read_text())
    lines |= {key["key"] for key in keyring["keys"]}
    return [line for line in lines if len(line) >= SHORTEST]


def databases(told: Told) -> bytes:
    cluster = told.stack.postgres
    return subprocess.run(
        [str(binaries() / "pg_dumpall"), "-h", str(cluster.socket_dir), "-U", SUPERUSER, "--no-role-passwords"],
        env={"PGPASSWORD": cluster.superuser_password},
        capture_output=True,
        check=True,
    ).stdout  # fmt: skip


def test_every_kind_of_secret_was_made_in_the_story(heard: dict[str, str], ours: list[str]) -> None:
    assert set(heard.values()) >= KINDS
    assert len(heard) > 30
    assert len(ours) > 20


def test_logs_and_evidence_hold_no_secret(told: Told, heard: dict[str, str], ours: list[str]) -> None:
    layout = told.stack.layout
    files = [*layout.logs.iterdir(), *(layout.var / "evidence").iterdir()]
    whole = b""
    for file in files:
        text = file.read_bytes()
        assert not found([*heard, *ours], text), file.name
        whole += text
    assert b"req_" in whole
    assert b'"title"' in whole


def test_dumps_of_the_databases_hold_no_secret(told: Told, heard: dict[str, str], ours: list[str]) -> None:
    text = databases(told)
    assert not found([*heard, *ours], text)
    assert all(f"\\connect sc_{name}".encode() in text for name in ("auth", "vault", "provisioner"))
    assert b"vault.audit.recorded.v1" in text  # an outbox's row


def test_the_brokers_files_hold_no_secret(told: Told, heard: dict[str, str], ours: list[str]) -> None:
    text = b"".join(
        file.read_bytes() for file in (told.stack.layout.home / "rabbitmq").rglob("*") if file.is_file()
    )
    assert not found([*heard, *ours], text)
    assert b"provisioner.on-names" in text


@pytest.mark.parametrize("name", sorted(UIDS))
def test_argv_and_environment_hold_no_secret(told: Told, heard: dict[str, str], name: str) -> None:
    process = Path("/proc") / (told.stack.layout.pids / name).read_text().strip()
    text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
    assert not found(heard, text)
    assert told.stack.layout.id.encode() in text


def test_a_customers_server_has_written_no_password_down(told: Told, heard: dict[str, str]) -> None:
    passwords = [secret for secret, kind in heard.items() if kind in ("password", "token")]
    read = b""
    for upper in (told.stack.layout.sandbox / "hosts").glob("*/upper"):
        for file in upper.rglob("*"):
            if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST:
                continue
            text = file.read_bytes()
            assert not found(passwords, text), file.relative_to(upper)
            read += text if "log" in file.parts else b""
    assert b"postfix" in read
