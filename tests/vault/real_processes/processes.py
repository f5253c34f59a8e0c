"""Key service and API as processes with uids of their own, and what a uid or the superuser can read of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.local.postgres import SUPERUSER, binaries
from tests.fixtures.database import ServiceDatabase

ROOT = Path(__file__).parents[3]
API_UID, KEYS_UID = 54400, 54401


@dataclass
class RootKeys:
    environment: dict[str, str]
    file: Path
    secret: bytes
    """What opens everything: in the file, and nowhere else."""
    root: bytes
    header: int
    """Bytes before the nonce of a wrapped data key."""


@dataclass
class Running:
    directory: Path
    api: subprocess.Popen[bytes]
    keys: subprocess.Popen[bytes]
    root_keys: RootKeys
    database: ServiceDatabase


@contextlib.contextmanager
def process(
    argv: list[str], uid: int, environment: dict[str, str], socket: Path, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the end of the block, under its own uid, and serves when the block begins."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-B", "-m", *argv],
            cwd=ROOT, user=uid, group=uid, extra_groups=[], stdout=output, stderr=output,
            env={"PATH": os.environ["PATH"], "SC_SOCKET": str(socket), **environment},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert started.poll() is None, f"{argv} ended:\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{argv} does not serve:\n{log.read_text()}"
            time.sleep(0.05)
        yield started
    finally:
        started.terminate()
        started.wait(15)


READ_ALL = """
import os, sys
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            with open(os.path.join(directory, name), "rb") as file:
                sys.stdout.buffer.write(file.read())
        except OSError:
            pass  # not for this uid, or a socket
"""


async def read_as(uid: int, directory: Path) -> bytes:
    """All that this uid can read there."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-B", "-c", READ_ALL, str(directory)],
        user=uid, group=uid, extra_groups=[], capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


async def dump(database: ServiceDatabase) -> bytes:
    """All rows, as the cluster's superuser sees them."""
    cluster = database.postgres.cluster
    argv: list[str | Path] = [
        binaries() / "pg_dump", "-h", cluster.socket_dir, "-U", SUPERUSER, "--data-only", database.name
    ]  # fmt: skip
    environment = {"PGPASSWORD": cluster.superuser_password, "PATH": os.environ["PATH"]}
    done = await asyncio.to_thread(subprocess.run, argv, env=environment, capture_output=True, check=True)
    return done.stdout
