"""The processes themselves: auth's API, auth's worker and the gateway, started as a stack starts them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.auth.bindings import BINDINGS
from shared.identity import generate_private_pem, public_pem_of
from tests.auth.stage import PASSWORD
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust

ROOT = Path(__file__).parents[2]


@dataclass
class Stack:
    directory: Path
    trust: Trust
    processes: dict[str, Process] = field(default_factory=dict)
    mails: list[dict[str, Any]] = field(default_factory=list)

    async def start(
        self, name: str, module: list[str], environment: dict[str, str], **secrets: str | bytes
    ) -> None:
        folder = self.directory / f"secrets-{name}"
        folder.mkdir(mode=0o700)
        for key, value in secrets.items():
            (folder / key).write_bytes(value.encode() if isinstance(value, str) else value)
        inherited = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        log = (self.directory / f"{name}.log").open("wb")
        self.processes[name] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *module,
            cwd=ROOT,
            env={
                **inherited,
                "SC_SECRETS_DIR": str(folder),
                "SC_IDENTITY_TRUST_DIR": str(self.trust.directory),
                "SC_SERVICES_DIR": str(self.directory),
                "SC_PUBLIC_URL": "https://sendchief.test",
                "SC_SOCKET": str(self.directory / f"{name}.sock"),
                **environment,
            },
            stdout=log,
            stderr=log,
        )
        log.close()

    def client(self, name: str) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(uds=str(self.directory / f"{name}.sock"))
        return httpx.AsyncClient(transport=transport, base_url="http://stack", timeout=20)

    async def ready(self, name: str) -> None:
        async with asyncio.timeout(60), self.client(name) as client:
            while True:
                assert self.processes[name].returncode is None, self.log(name)
                try:
                    if (await client.get("/readyz")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.1)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()[-3000:]

    async def stop(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def mail_provider(mails: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Takes what Resend would take."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        mails.append(json.loads(await reader.readexactly(int(length[1]) if length else 0)))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{"id":"m1"}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.fixture
async def stack(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[Stack]:
    await rabbit.declare(BINDINGS)
    database = service_database("auth")
    access, mail_key = generate_private_pem(), generate_private_pem()
    (tmp_path / "mail.pem").write_bytes(public_pem_of(mail_key))
    made = Stack(tmp_path, trust)
    async with mail_provider(made.mails) as resend:
        api = tmp_path / "secrets-auth"
        await made.start(
            "auth",
            ["shared.web.serve", "services.auth.app"],
            {
                "SC_SERVICE": "auth",
                "SC_ROLE": "api",
                "SC_ACCESS_KEY_FILE": str(api / "access_key"),
                "SC_MAIL_PUBLIC_KEY_FILE": str(tmp_path / "mail.pem"),
                "SC_ALLOW_TEST_DOMAIN": "true",
            },
            access_key=access,
            sc_api_key_pepper="pepper" * 8,
            sc_second_factor_key="factor" * 8,
            sc_database_url=database.app_url,
        )
        worker = tmp_path / "secrets-auth-worker"
        await made.start(
            "auth-worker",
            ["services.auth.worker"],
            {
                "SC_SERVICE": "auth",
                "SC_ROLE": "worker",
                "SC_MAIL_KEY_FILE": str(worker / "mail_key"),
                "SC_RESEND_URL": resend,
                "SC_MAIL_FROM": "SendChief <hello@sendchief.test>",
            },
            mail_key=mail_key,
            sc_resend_api_key="re_x",
            sc_database_url=database.worker_url,
            sc_amqp_url=rabbit.url("auth"),
        )
        own = tmp_path / "secrets-gateway"
        await made.start(
            "gateway",
            ["gateway"],
            {"SC_IDENTITY_KEY_FILE": str(own / "identity_key")},
            identity_key=trust.key_file("gateway").read_bytes(),
            sc_amqp_url=rabbit.url("gateway"),
        )
        try:
            for name in made.processes:
                await made.ready(name)
            yield made
        finally:
            await made.stop()


async def mail_to(stack: Stack, address: str) -> str:
    async with asyncio.timeout(20):
        while True:
            for mail in stack.mails:
                if mail["to"] == [address]:
                    found = re.search(r"#token=(\S+)", mail["text"])
                    assert found is not None
                    return found[1]
            await asyncio.sleep(0.05)


async def until(
    client: httpx.AsyncClient, path: str, headers: dict[str, str], condition: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """Asks again and again until the answer is as it should become."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.get(path, headers=headers)
            if condition(answer):
                return answer
            await asyncio.sleep(0.05)


async def test_a_person_signs_up_and_works_through_the_real_processes(stack: Stack) -> None:
    async with stack.client("gateway") as client:
        person = {"email": "ada@people.test", "password": PASSWORD}
        assert (await client.post("/v1/auth/signup", json={**person, "name": "Ada"})).status_code == 202
        token = await mail_to(stack, person["email"])
        assert (await client.post("/v1/auth/confirm", json={"token": token})).status_code == 200
        signed_in = await client.post("/v1/auth/sessions", json=person)
        assert signed_in.status_code == 201, signed_in.text
        headers = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        made = await client.post(
            "/v1/workspaces", json={"name": "Mill"}, headers={**headers, "Idempotency-Key": "1"}
        )
        assert made.status_code == 201, made.text
        at_once = await client.get(f"/v1/workspaces/{made.json()['id']}", headers=headers)
        assert (at_once.status_code, at_once.json()["role"]) == (200, "owner")
        path = f"/v1/workspaces/{made.json()['id']}/audit"
        audit = await until(client, path, headers, lambda answer: bool(answer.json()["items"]))
        assert audit.json()["items"][0]["action"] == "auth.workspace.created"
        assert (await client.delete("/v1/auth/sessions/current", headers=headers)).status_code == 204
        await until(client, "/v1/me", headers, lambda answer: answer.status_code == 401)
    logs = "".join(stack.log(name) for name in stack.processes)
    for secret in (PASSWORD, token, signed_in.json()["access_token"], "re_x", "pepper" * 8):
        assert secret not in logs
