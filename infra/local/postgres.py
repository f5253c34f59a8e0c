"""A PostgreSQL cluster of the project's own: an unprivileged account, a unix socket, no TCP port."""

from __future__ import annotations

import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.local.accounts import of_system_user

SUPERUSER = "cluster"


class PostgresError(RuntimeError):
    """The cluster could not be made, started or stopped; the text names the log to read."""


def binaries() -> Path:
    """Debian keeps each major version's programs in a folder of its own; the newest is taken."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    if not found:
        raise PostgresError("PostgreSQL is not installed; run `scripts/setup packages` as root")
    return found[-1].parent


@dataclass(frozen=True)
class PostgresCluster:
    """`directory` holds data and log, `socket_dir` the socket (its path has to stay below 100 bytes).

    `durable=False` trades crash safety for speed: for tests only.
    """

    directory: Path
    socket_dir: Path
    durable: bool = True

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "postgres.log"

    @property
    def superuser_password(self) -> str:
        return (self.directory / "superuser-password").read_text().strip()

    def url(self, database: str, user: str, password: str) -> str:
        """SQLAlchemy URL over the unix socket."""
        return f"postgresql+asyncpg://{user}:{password}@/{database}?host={self.socket_dir}"

    def superuser_url(self, database: str = "postgres") -> str:
        return self.url(database, SUPERUSER, self.superuser_password)

    def start(self) -> None:
        """Makes the cluster when there is none, then starts it; does nothing when it runs."""
        account = of_system_user("postgres")
        for folder in (self.directory, self.socket_dir):
            folder.mkdir(parents=True, exist_ok=True)
            account.own(folder, 0o711)
        if not (self.data / "PG_VERSION").exists():
            self._init()
        if self.running():
            return
        options = [
            f"-k {self.socket_dir}",
            "-c listen_addresses=",
            "-c max_connections=300",
            "-c shared_buffers=64MB",
            "-c timezone=UTC",
            "-c log_min_duration_statement=2000",
            "-c default_toast_compression=lz4",
        ]
        if not self.durable:
            options += ["-c fsync=off", "-c synchronous_commit=off", "-c full_page_writes=off"]
        self._control("-w", "-t", "60", "-l", str(self.log), "-o", " ".join(options), "start")

    def _init(self) -> None:
        account = of_system_user("postgres")
        password = self.directory / "superuser-password"
        password.write_text(secrets.token_urlsafe(24))
        account.own(password, 0o600)
        self._run(
            [
                str(binaries() / "initdb"),
                "-D",
                str(self.data),
                "-A",
                "scram-sha-256",
                f"--pwfile={password}",
                "-U",
                SUPERUSER,
                "-E",
                "UTF8",
                "--lc-collate=C",
                "--lc-ctype=C.UTF-8",
                "--no-sync",
            ]
        )

    def running(self) -> bool:
        return self._pid() is not None

    def _pid(self) -> int | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        # A pid file left by a crash may name a stranger by now.
        return pid if b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes() else None

    def stop(self, mode: str = "fast") -> None:
        """`mode` is fast or immediate (as after a power cut)."""
        if self.running():
            self._control("-w", "-t", "30", "-m", mode, "stop")

    def _control(self, *arguments: str) -> None:
        self._run([str(binaries() / "pg_ctl"), "-D", str(self.data), *arguments])

    def _run(self, argv: list[str]) -> None:
        result = subprocess.run(
            of_system_user("postgres").command(argv),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if result.returncode:
            raise PostgresError(f"{Path(argv[0]).name} failed: {result.stderr.strip()} (see {self.log})")
