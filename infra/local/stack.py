"""Bring a whole SendChief up on this machine, take it down, remove it.

`up` is idempotent: what runs stays, what is missing is started, data is kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from infra.local import databases, nginx, processes
from infra.local.accounts import STACK_GID, UIDS, of_process, of_system_user
from infra.local.layout import Layout
from infra.local.pki import Authority
from infra.local.postgres import PostgresCluster
from infra.local.processes import Process, ProcessFailed
from infra.local.progress import Progress
from infra.local.rabbitmq import RabbitNode
from infra.local.services import Services
from infra.local.state import EVENTS_EXCHANGE, State
from sandbox.net.cgroups import Cgroup

READY_SECONDS = 60


class CannotRun(RuntimeError):
    """This machine lacks something; the text is one line with the remedy."""


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

    # -- up ------------------------------------------------------------------------------------------------

    async def up(self) -> None:
        self._check_machine()
        started = time.monotonic()
        with self.progress.step("folders, certificates, keys"):
            self._prepare()
        with self.progress.step(f"{self.image} server image"):
            await self._image()
        self._start_sandbox()
        with self.progress.step("PostgreSQL and RabbitMQ"):
            self.rabbit.start(State.load(self.state_file).broker_users(), EVENTS_EXCHANGE)
            await asyncio.to_thread(self.postgres.start)
            await databases.ensure(self.postgres.superuser_url(), State.load(self.state_file).database)
        with self.progress.step("migrations"):
            await self._migrate()
        with self.progress.step("RabbitMQ answers, topology declared"):
            await asyncio.to_thread(self.rabbit.wait)
            await self._declare_topology()
        with self.progress.step("the outside world (sandbox)"):
            await self._await_sandbox()
        with self.progress.step("services, gateway, nginx"):
            await self._start_services()
        self.progress.say("stack is up", time.monotonic() - started, self.public_url)

    def _check_machine(self) -> None:
        if os.geteuid() != 0:
            raise CannotRun(
                "real servers need root (network namespaces, systemd-nspawn). Run: sudo make demo"
            )
        for program, package in (
            ("systemd-nspawn", "systemd-container"),
            ("nft", "nftables"),
            ("pebble", "pebble"),
        ):
            if shutil.which(program) is None:
                raise CannotRun(
                    f"{program} is missing (Debian package {package}). Run as root: scripts/setup"
                )

    def _prepare(self) -> None:
        layout = self.layout
        layout.bind()
        for folder in (layout.sockets, layout.pids, layout.logs, layout.secrets, layout.tls, layout.sandbox):
            folder.mkdir(parents=True, exist_ok=True)
        layout.home.chmod(0o711)
        (layout.home / "run").chmod(0o711)
        layout.secrets.chmod(0o711)
        os.chown(layout.sockets, 0, STACK_GID)
        layout.sockets.chmod(0o770)
        of_process("nginx").own(layout.logs, 0o775)
        run = layout.home / "run/nginx"
        run.mkdir(exist_ok=True)
        of_process("nginx").own(run, 0o750)
        self.state_file.parent.mkdir(exist_ok=True)
        State.load(self.state_file)
        authority = Authority(layout.tls, f"SendChief stack {layout.name}")
        _, broker_key = authority.server("rabbitmq", ["localhost", "127.0.0.1"])
        _, nginx_key = authority.server("nginx", ["localhost", "127.0.0.1"])
        of_system_user("rabbitmq").own(broker_key, 0o400)
        of_process("nginx").own(nginx_key, 0o400)

    async def _image(self) -> None:
        await self._run("images", "-m", "sandbox.hosts.images", "build", self.image, "--cache", "var/images")

    def _start_sandbox(self) -> None:
        argv = [
            str(self.layout.python),
            "-m",
            "sandbox",
            "--dir",
            str(self.layout.sandbox),
            "--id",
            self.layout.id,
        ]
        argv += ["--image", self.image, *self.sandbox_arguments]
        if not processes.alive(self.layout, "sandbox"):
            self.endpoints_file.unlink(missing_ok=True)
        processes.start(self.layout, Process("sandbox", argv))

    async def _await_sandbox(self) -> None:
        await self._until("sandbox", lambda: self.endpoints_file.exists(), 90)

    async def _migrate(self) -> None:
        state = State.load(self.state_file)

        async def one(service: str) -> None:
            role = f"{service}_owner"
            url = self.postgres.url(f"sc_{service}", role, state.database[role])
            await self._run(
                f"migrate-{service}",
                "-m",
                "alembic",
                "-n",
                service,
                "upgrade",
                "head",
                environment={"SC_DATABASE_DIRECT_URL": url},
            )

        await asyncio.gather(*(one(service) for service in databases.SERVICES))

    async def _declare_topology(self) -> None:
        operator = next(u for u in State.load(self.state_file).broker_users() if u.name == "operator")
        await self._run(
            "topology",
            "-m",
            "shared.bus.topology",
            *databases.SERVICES,
            environment={"SC_AMQP_URL": self.rabbit.url(operator), "SC_AMQP_CA_FILE": str(self.ca_file)},
        )

    async def _run(self, name: str, *argv: str, environment: dict[str, str] | None = None) -> None:
        """A one-shot job of the set-up; its output is in the log of that name."""
        log = processes.log_of(self.layout, name)
        with log.open("wb") as output:
            job = await asyncio.create_subprocess_exec(
                str(self.layout.python),
                *argv,
                cwd=self.layout.mount,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/root", **(environment or {})},
            )
            if await job.wait():
                raise ProcessFailed(f"{name} failed; {log}:\n{processes.tail(self.layout, name)}")

    async def _start_services(self) -> None:
        services = self.services()
        services.write_trust()
        wanted = [services.process(row) for row in services.rows()]
        for process in wanted:
            processes.start(self.layout, process)
        self._start_nginx()
        await asyncio.gather(*(self._await_ready(process) for process in wanted))
        await self._await_public()
        await self._register_webhook()

    def _start_nginx(self) -> None:
        account = of_process("nginx")
        certificate, key = self.layout.tls / "nginx.pem", self.layout.tls / "nginx.key"
        port = State.load(self.state_file).nginx_port
        configuration = nginx.render(self.layout, port, certificate, key)
        argv = ["/usr/sbin/nginx", "-e", str(self.layout.logs / "nginx.log"), "-c", str(configuration)]
        processes.start(self.layout, Process("nginx", argv, account=account))

    async def _await_ready(self, process: Process) -> None:
        assert process.socket is not None
        transport = httpx.AsyncHTTPTransport(uds=str(process.socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://local", timeout=2) as client:

            async def ready() -> bool:
                try:
                    return (await client.get("/readyz")).status_code == 200
                except httpx.HTTPError:
                    return False

            await self._until(process.name, ready, READY_SECONDS)

    async def _await_public(self) -> None:
        context = httpx.create_ssl_context(verify=str(self.ca_file))
        async with httpx.AsyncClient(verify=context, base_url=self.public_url, timeout=2) as client:

            async def answers() -> bool:
                try:
                    return (await client.get("/healthz")).status_code == 200
                except httpx.HTTPError:
                    return False

            await self._until("nginx", answers, READY_SECONDS)

    async def _register_webhook(self) -> None:
        """Tells the Stripe stand-in where its events go, as one does in Stripe's dashboard."""
        endpoints = self.endpoints
        context = httpx.create_ssl_context(verify=endpoints["ca_file"])
        headers = {"Authorization": f"Bearer {endpoints['control_token']}"}
        async with httpx.AsyncClient(
            verify=context, base_url=endpoints["control"], headers=headers
        ) as client:
            url = f"{self.public_url}/v1/webhooks/stripe"
            answer = await client.put("/stripe/webhook", json={"url": url, "ca_file": str(self.ca_file)})
            answer.raise_for_status()

    async def _until(self, name: str, ready: Any, seconds: float) -> None:
        """Waits for `ready()`, which may be a coroutine function; a process that ended is an error at once."""
        deadline = time.monotonic() + seconds
        while True:
            found = ready()
            if await found if asyncio.iscoroutine(found) else found:
                return
            if not processes.alive(self.layout, name):
                raise ProcessFailed(f"{name} ended while starting:\n{processes.tail(self.layout, name)}")
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"{name} was not ready within {seconds:.0f} s:\n{processes.tail(self.layout, name)}"
                )
            await asyncio.sleep(0.1)

    # -- down ----------------------------------------------------------------------------------------------

    def down(self) -> None:
        """Stops everything; finds it by pid file and control group, so a crash of whoever started it is no matter."""
        if not self.layout.mounted() and not Cgroup(f"sc-{self.layout.id}").exists():
            return
        self.layout.bind()
        names = [row for row in self._names() if row not in ("sandbox", "postgres", "rabbitmq")]
        with self.progress.step("nginx, gateway, services"), ThreadPoolExecutor(len(names) or 1) as pool:
            list(pool.map(lambda name: processes.stop(self.layout, name), names))
        with self.progress.step("the outside world (servers shut down cleanly)"):
            processes.stop(self.layout, "sandbox", 60)
        with self.progress.step("RabbitMQ and PostgreSQL"):
            self.rabbit.stop()
            self.postgres.stop()
        for left in Cgroup(f"sc-{self.layout.id}").children():
            left.kill()
            processes.remove_group(left)
        processes.remove_group(Cgroup(f"sc-{self.layout.id}"))
        self.layout.unbind()

    def _names(self) -> list[str]:
        recorded = {file.name for file in self.layout.pids.iterdir()} if self.layout.pids.is_dir() else set()
        grouped = {Path(group.path).name for group in Cgroup(f"sc-{self.layout.id}").children()}
        return sorted((recorded | grouped) & set(UIDS))

    def clean(self) -> None:
        """Down, then all that the stack made is removed."""
        self.down()
        if self.layout.var.exists():
            shutil.rmtree(self.layout.var)

    # -- operating it --------------------------------------------------------------------------------------

    async def operate(self, process: str, argv: list[str]) -> str:
        """Runs a Python command as one of the stack's processes would run, and returns what it printed."""
        services = self.services()
        row = next(row for row in services.rows() if row.name == process)
        account = of_process(process)
        environment = {**row.environment, "SC_SECRETS_DIR": str(self.layout.secrets / process)}
        job = await asyncio.create_subprocess_exec(
            *account.command([str(self.layout.python), *argv]),
            cwd=self.layout.mount,
            env=environment,
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
