"""One stack: its parts, where it is reached, and how to act as one of its processes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.local.accounts import of_process, of_system_user
from infra.local.layout import Layout
from infra.local.pki import Authority
from infra.local.postgres import PostgresCluster
from infra.local.processes import ProcessFailed
from infra.local.progress import Progress
from infra.local.rabbitmq import RabbitNode
from infra.local.services import Services
from infra.local.state import State


class Stack:
    """One stack; `image` says what the sandbox's servers boot from (golden or stock)."""

    def __init__(
        self, layout: Layout, image: str = "golden", sandbox_arguments: tuple[str, ...] = ()
    ) -> None:
        self.layout = layout
        self.image = image
        self.sandbox_arguments = sandbox_arguments
        self.progress = Progress("setup" if layout.name == "demo" else layout.name)

    # -- where it is ---------------------------------------------------------------------------------------

    @property
    def state_file(self) -> Path:
        return self.layout.home / "state.json"

    @property
    def endpoints_file(self) -> Path:
        return self.layout.sandbox / "endpoints.json"

    @property
    def endpoints(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.endpoints_file.read_text())
        return found

    @property
    def ca_file(self) -> Path:
        return self.layout.tls / "ca.pem"

    @property
    def authority_name(self) -> str:
        return f"SendChief stack {self.layout.name}"

    @property
    def public_url(self) -> str:
        return f"https://localhost:{State.load(self.state_file).nginx_port}"

    @property
    def postgres(self) -> PostgresCluster:
        return PostgresCluster(self.layout.home / "postgres", self.layout.home / "run/postgres")

    @property
    def rabbit(self) -> RabbitNode:
        certificate, key = self.layout.tls / "rabbitmq.pem", self.layout.tls / "rabbitmq.key"
        return RabbitNode(self.layout.home / "rabbitmq", (self.ca_file, certificate, key))

    def services(self) -> Services:
        state = State.load(self.state_file)
        return Services(self.layout, state, self.postgres, self.rabbit, self.endpoints, self.public_url)

    def issue_certificates(self, authority: Authority) -> None:
        """Server certificates where they are missing, run out or come from another authority."""
        _, broker_key = authority.server("rabbitmq", ["localhost", "127.0.0.1"])
        _, nginx_key = authority.server("nginx", ["localhost", "127.0.0.1"])
        of_system_user("rabbitmq").own(broker_key, 0o400)
        of_process("nginx").own(nginx_key, 0o400)

    # -- operating it --------------------------------------------------------------------------------------

    async def operate(self, process: str, argv: list[str]) -> str:
        """Runs a Python command as one of the stack's processes would run, and returns what it printed."""
        services = self.services()
        row = next(row for row in services.rows() if row.name == process)
        account = of_process(process)
        job = await asyncio.create_subprocess_exec(
            *account.command([str(self.layout.python), *argv]),
            cwd=self.layout.mount,
            env=services.environment(row),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await job.communicate()
        if job.returncode:
            raise ProcessFailed(f"{' '.join(argv)} as {process} failed: {err.decode()[-2000:]}")
        return out.decode()

    def next_run(self) -> int:
        """How often a story has been told on this stack, this time included."""
        file = self.layout.home / "runs"
        number = int(file.read_text()) + 1 if file.exists() else 1
        file.write_text(str(number))
        return number

    def directions(self) -> str:
        """Where to look now that the stack is up."""
        return "\n".join(
            [
                f"  status page   {self.public_url}/status/   (trust {self.ca_file}, or accept the certificate)",
                f"  API docs      {self.public_url}/v1/docs    description: {self.public_url}/v1/openapi.json",
                f"  logins        {self.layout.var / 'logins.json'}",
                f"  logs          {self.layout.var / 'log'}",
                f"  look inside   {sys.executable} -m sandbox.hosts.console --dir {self.layout.sandbox} <server>",
                "  stop          make down        (data is kept; make up goes on; make clean removes it)",
            ]
        )
