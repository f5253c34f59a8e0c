"""Bring a whole SendChief up on this machine. Idempotent: what runs stays, what is missing is started, data is kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import time

import httpx

from infra.local import databases, nginx, processes, readiness
from infra.local.accounts import STACK_GID, of_process
from infra.local.pki import Authority
from infra.local.processes import Process, ProcessFailed
from infra.local.stack import Stack
from infra.local.state import EVENTS_EXCHANGE, State


class CannotRun(RuntimeError):
    """This machine lacks something; the text is one line with the remedy."""


async def up(stack: Stack) -> None:
    _check_machine(stack)
    started = time.monotonic()
    with stack.progress.step("folders, certificates, keys"):
        _prepare(stack)
    with stack.progress.step(f"{stack.image} server image"):
        await _image(stack)
    _start_sandbox(stack)
    with stack.progress.step("PostgreSQL and RabbitMQ"):
        stack.rabbit.start(State.load(stack.state_file).broker_users(), EVENTS_EXCHANGE)
        await asyncio.to_thread(stack.postgres.start)
        await databases.ensure(stack.postgres.superuser_url(), State.load(stack.state_file).database)
    with stack.progress.step("migrations"):
        await _migrate(stack)
    with stack.progress.step("RabbitMQ answers, topology declared"):
        await asyncio.to_thread(stack.rabbit.wait)
        await _declare_topology(stack)
    with stack.progress.step("the outside world (sandbox)"):
        await _await_sandbox(stack)
    with stack.progress.step("services, gateway, nginx"):
        await _start_services(stack)
    stack.progress.say("stack is up", time.monotonic() - started, stack.public_url)


def _check_machine(stack: Stack) -> None:
    if os.geteuid() != 0:
        raise CannotRun("real servers need root (network namespaces, systemd-nspawn). Run: sudo make demo")
    for program, package in (
        ("systemd-nspawn", "systemd-container"),
        ("nft", "nftables"),
        ("pebble", "pebble"),
    ):
        if shutil.which(program) is None:
            raise CannotRun(f"{program} is missing (Debian package {package}). Run as root: scripts/setup")


def _prepare(stack: Stack) -> None:
    layout = stack.layout
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
    layout.audit_checkpoints.mkdir(exist_ok=True)
    of_process("vault-worker").own(layout.audit_checkpoints, 0o700)
    _prepare_key_service(stack)
    State.load(stack.state_file)
    stack.issue_certificates(Authority(layout.tls, stack.authority_name))


def _prepare_key_service(stack: Stack) -> None:
    """The key service's socket and keyring lie in directories of its own; the vault may only pass through one."""
    account = of_process("vault-keys")
    socket, keyring = stack.layout.home / "run/keys", stack.layout.home / "keyring"
    for folder, mode in ((socket, 0o711), (keyring, 0o700)):
        folder.mkdir(exist_ok=True)
        account.own(folder, mode)
    file = keyring / "keyring.json"
    if not file.exists():
        argv = [str(stack.layout.python), "-m", "services.vault.keyservice", "init", "--keyring", str(file)]
        subprocess.run(account.command(argv), cwd=stack.layout.mount, check=True, stdout=subprocess.DEVNULL)


async def _image(stack: Stack) -> None:
    await _run(stack, "images", "-m", "sandbox.hosts.images", "build", stack.image, "--cache", "var/images")


def _start_sandbox(stack: Stack) -> None:
    argv = [
        str(stack.layout.python),
        "-m",
        "sandbox",
        "--dir",
        str(stack.layout.sandbox),
        "--id",
        stack.layout.id,
    ]
    argv += ["--image", stack.image, *stack.sandbox_arguments]
    if not processes.alive(stack.layout, "sandbox"):
        stack.endpoints_file.unlink(missing_ok=True)
    processes.start(stack.layout, Process("sandbox", argv))


async def _await_sandbox(stack: Stack) -> None:
    await readiness.until(stack, "sandbox", lambda: stack.endpoints_file.exists(), 90)


async def _migrate(stack: Stack) -> None:
    state = State.load(stack.state_file)

    async def one(service: str) -> None:
        role = f"{service}_owner"
        url = stack.postgres.url(f"sc_{service}", role, state.database[role])
        await _run(
            stack,
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


async def _declare_topology(stack: Stack) -> None:
    operator = next(u for u in State.load(stack.state_file).broker_users() if u.name == "operator")
    await _run(
        stack,
        "topology",
        "-m",
        "shared.bus.topology",
        *databases.SERVICES,
        environment={"SC_AMQP_URL": stack.rabbit.url(operator), "SC_AMQP_CA_FILE": str(stack.ca_file)},
    )


async def _run(stack: Stack, name: str, *argv: str, environment: dict[str, str] | None = None) -> None:
    """A one-shot job of the set-up; its output is in the log of that name."""
    log = processes.log_of(stack.layout, name)
    with log.open("wb") as output:
        job = await asyncio.create_subprocess_exec(
            str(stack.layout.python),
            *argv,
            cwd=stack.layout.mount,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/root", **(environment or {})},
        )
        if await job.wait():
            raise ProcessFailed(f"{name} failed; {log}:\n{processes.tail(stack.layout, name)}")


async def _start_services(stack: Stack) -> None:
    services = stack.services()
    services.write_trust()
    wanted = [services.process(row) for row in services.rows()]
    for process in wanted:
        processes.start(stack.layout, process)
    _start_nginx(stack)
    await asyncio.gather(*(readiness.await_ready(stack, process) for process in wanted if process.socket))
    await readiness.await_public(stack)
    await _register_webhooks(stack)


def _start_nginx(stack: Stack) -> None:
    account = of_process("nginx")
    certificate, key = stack.layout.tls / "nginx.pem", stack.layout.tls / "nginx.key"
    port = State.load(stack.state_file).nginx_port
    configuration = nginx.render(stack.layout, port, certificate, key)
    argv = ["/usr/sbin/nginx", "-e", str(stack.layout.logs / "nginx-error.log"), "-c", str(configuration)]
    processes.start(stack.layout, Process("nginx", argv, account=account))


async def _register_webhooks(stack: Stack) -> None:
    """Tells the stand-ins of Stripe and Resend where their events go, as one does in the vendors' dashboards."""
    endpoints = stack.endpoints
    context = ssl.create_default_context(cafile=endpoints["ca_file"])
    headers = {"Authorization": f"Bearer {endpoints['control_token']}"}
    async with httpx.AsyncClient(verify=context, base_url=endpoints["control"], headers=headers) as client:
        for vendor in ("stripe", "resend"):
            url = f"{stack.public_url}/v1/webhooks/{vendor}"
            answer = await client.put(f"/{vendor}/webhook", json={"url": url, "ca_file": str(stack.ca_file)})
            answer.raise_for_status()
