"""The whole sandbox as a process: ready file, control API, clean stop, same state afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import httpx
import pytest
import pytest_asyncio

from sandbox.settings import CHECKOUT
from tests.sandbox.dns.test_tree import values

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]
READY_SECONDS = 120


class Running:
    """One `python -m sandbox` and a client of its control API."""

    def __init__(self, directory: Path, identifier: str) -> None:
        self.directory = directory
        self.identifier = identifier
        self.process: asyncio.subprocess.Process
        self.endpoints: dict[str, Any] = {}

    async def start(self) -> None:
        (self.directory / "endpoints.json").unlink(missing_ok=True)
        for _ in range(READY_SECONDS):
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sandbox", "--dir", str(self.directory), "--id", self.identifier),
                *("--no-apt-proxy", "--quiet-faults"),
                cwd=CHECKOUT,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            if await self._ready():
                return
            assert self.process.stderr is not None
            said = (await self.process.stderr.read()).decode()
            assert "no address range is free" in said, said
            await asyncio.sleep(1)
        raise AssertionError("no address range came free")

    async def _ready(self) -> bool:
        file = self.directory / "endpoints.json"
        async with asyncio.timeout(READY_SECONDS):
            while not file.exists():
                if self.process.returncode is not None:
                    return False
                await asyncio.sleep(0.05)
        self.endpoints = json.loads(file.read_text())
        return True

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def control(self) -> httpx.AsyncClient:
        trust = ssl.create_default_context(cafile=self.endpoints["ca_file"])
        headers = {"Authorization": f"Bearer {self.endpoints['control_token']}"}
        return httpx.AsyncClient(
            base_url=self.endpoints["control"], headers=headers, verify=trust, timeout=15
        )

    async def ask(self, name: str, kind: str) -> set[str]:
        question = dns.message.make_query(name, kind, want_dnssec=True)
        return values(await dns.asyncquery.udp(question, self.endpoints["resolver"], timeout=3), kind)


def alive(pid: int) -> bool:
    """False for a process that is gone or a zombie."""
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    made = Running(tmp_path_factory.mktemp("sandbox"), f"m{os.getpid() % 10_000_000}")
    await made.start()
    yield made
    await made.stop()


async def test_the_ready_file_is_private_and_complete(running: Running) -> None:
    assert (running.directory / "endpoints.json").stat().st_mode & 0o777 == 0o600
    expected = "scaleway cloudflare stripe resend transit control ca_file resolver acme_directory range"
    expected += " control_token transit_token transit_root_token"
    assert {*expected.split(), "image_label"} <= set(running.endpoints)
    assert not any("SecretStr" in str(value) or "***" in str(value) for value in running.endpoints.values())


async def test_the_control_api_wants_its_token(running: Running) -> None:
    async with running.control() as control:
        assert (await control.get("/health")).json() == {"ok": True, "dead": []}
        for header in ("", "Bearer wrong"):
            answer = await control.get("/books/stripe", headers={"Authorization": header})
            assert answer.status_code == 401


async def test_a_customers_zone_is_made_looked_at_altered_and_repaired(running: Running) -> None:
    async with running.control() as control:
        records = [
            {"type": "TXT", "name": "@", "content": "foreign"},
            {"type": "A", "name": "www", "content": "198.51.100.1"},
        ]
        made = (
            await control.post("/cloudflare/zones", json={"name": "example-a.test", "records": records})
        ).json()
        assert await running.ask("www.example-a.test", "A") == {"198.51.100.1"}
        planted = {"name": "www.example-a.test", "type": "A", "values": ["198.51.100.66"]}
        assert (await control.put("/dns/records", json=planted)).status_code == 200
        assert await running.ask("www.example-a.test", "A") == {"198.51.100.66"}
        await control.delete("/dns/records", params={"name": "www.example-a.test", "type": "A"})
        assert await running.ask("www.example-a.test", "A") == {"198.51.100.1"}
        books = (await control.get("/books/cloudflare")).json()
        zone = next(z for z in books["zones"] if z["id"] == made["zone_id"])
        assert {r["content"] for r in zone["records"]} == {"foreign", "198.51.100.1"}
        assert made["token"] not in json.dumps(books)


async def test_addresses_are_listed_and_offered(running: Running) -> None:
    async with running.control() as control:
        pool = (await control.get("/scaleway/ip-pool")).json()
        address = pool["next"][2]
        assert (await control.put("/scaleway/ip-pool", json={"addresses": [address]})).json()["next"][
            0
        ] == address
        assert (await control.put(f"/dnsbl/zen.bl.sandbox.test/{address}")).status_code == 200
        reverse = ".".join(reversed(address.split(".")))
        assert await running.ask(f"{reverse}.zen.bl.sandbox.test", "A") == {"127.0.0.2"}
        assert (await control.delete(f"/dnsbl/zen.bl.sandbox.test/{address}")).json() == {"removed": True}


async def test_faults_are_armed_and_seen(running: Running) -> None:
    async with running.control() as control:
        body = {"operation": "emails.send", "kind": "error_before", "status": 500, "count": 2}
        assert (await control.put("/faults/resend", json=body)).json()["armed"][0]["count"] == 2
        assert (await control.delete("/faults/resend")).json()["armed"] == []
        assert (await control.put("/faults/resend", json={"habits": False})).json()["habits_on"] is False
        assert (await control.put("/faults/nobody", json={"habits": False})).status_code == 404
        assert (await control.put("/faults/resend", json={})).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "/dns/records", {"name": "x.example-a.test", "type": "A", "values": ["no"]}, 422),
        ("PUT", "/dnsbl/none.bl.sandbox.test/198.51.100.20", None, 404),
        ("PUT", "/dnsbl/zen.bl.sandbox.test/not-an-address", None, 422),
        ("POST", "/cloudflare/zones", {"name": "outside.example"}, 422),
        ("POST", "/stripe/checkout/cs_none/pay", None, 409),
        ("POST", "/stripe/invoices/in_none/pay", None, 409),
        ("POST", "/stripe/subscriptions/sub_none/give-up", None, 409),
        ("PUT", "/scaleway/ip-pool", {"addresses": ["192.0.2.1"]}, 422),
        ("GET", "/books/nobody", None, 404),
    ],
)
async def test_a_wrong_request_is_refused_and_explained(
    running: Running, method: str, path: str, body: dict[str, Any] | None, status: int
) -> None:
    async with running.control() as control:
        answer = await control.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_the_outside_host_writes_to_itself(running: Running) -> None:
    async with running.control() as control:
        mail = {"from": "a@outside.test", "to": "b@outside.test", "subject": "hello", "body": "text"}
        assert (await control.post("/mail/outside/send", json=mail)).json()["outcome"] == "delivered"
        got = (await control.get("/mail/outside/messages", params={"to": "b@outside.test"})).json()
        assert got[0]["subject"] == "hello"


async def test_stop_leaves_nothing_running_and_start_finds_everything_again(running: Running) -> None:
    namespace = Path(running.endpoints["namespace"])
    before = running.endpoints
    assert await running.stop() == 0
    left = [namespace, running.directory / "endpoints.json", Path(f"/sys/class/net/sc-{running.identifier}")]
    assert not list(filter(Path.exists, left))
    await running.start()
    assert running.endpoints["stripe_secret_key"] == before["stripe_secret_key"]
    assert running.endpoints["ca_file"] == before["ca_file"]
    assert await running.ask("www.example-a.test", "A") == {"198.51.100.1"}


async def test_a_killed_sandbox_is_cleaned_up_by_the_next_start(running: Running) -> None:
    await running.stop(signal.SIGKILL)
    pids = [int(file.read_text()) for file in (running.directory / "run").glob("*.pid")]
    assert pids
    await running.start()
    assert not [pid for pid in pids if alive(pid)]
    assert await running.ask("www.example-a.test", "A") == {"198.51.100.1"}
