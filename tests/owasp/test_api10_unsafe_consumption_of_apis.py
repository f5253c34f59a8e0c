"""API10:2023 Unsafe Consumption of APIs: a vendor that lies, drips, floods or breaks off harms nobody.

Redirects: `test_api7_server_side_request_forgery.py`. TLS towards vendors: `tests/shared/http`. Vendors that fail in
known ways: `tests/provisioner/providers`, `tests/dns/providers`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from services.auth.ports import Mail, MailDelayed
from services.auth.providers.resend import ResendMailer
from shared.http import VendorUnavailable, vendor_client
from shared.http.bounded import BoundedTransport
from shared.http.client import vendor_request
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.owasp.front import Front, W, front

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


def with_body(body: bytes, *headers: str) -> Write:
    async def write(writer: asyncio.StreamWriter) -> None:
        lines = [
            "HTTP/1.1 200 OK",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
            "",
            "",
        ]
        writer.write("\r\n".join(lines).encode() + body)

    return write


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def never_beginning(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 200 OK\r\n"[:1])
        await writer.drain()
        await asyncio.sleep(0.01)


async def broken_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id": "re_')


@asynccontextmanager
async def vendor(write: Write) -> AsyncIterator[str]:
    """The URL of a vendor that answers every request like this."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await write(writer)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()


def impatient(url: str) -> httpx.AsyncClient:
    """As `vendor_client`, with bounds that a test can wait for."""
    transport = BoundedTransport(httpx.AsyncHTTPTransport(), max_bytes=1_000_000, max_seconds=0.5)
    return httpx.AsyncClient(base_url=url, transport=transport, timeout=5)


@pytest.mark.parametrize(
    "write",
    [
        endless,
        dripping,
        never_beginning,
        broken_off,
        with_body(gzip.compress(b" " * 50_000_000), "Content-Encoding: gzip"),
    ],
    ids=["endless", "dripping", "never beginning", "broken off", "a bomb"],
)
async def test_an_answer_without_an_end_is_no_answer(write: Write) -> None:
    async with vendor(write) as url, impatient(url) as client:
        with pytest.raises(VendorUnavailable):
            await asyncio.wait_for(vendor_request(client, "GET", "/", vendor="vendor"), 10)


async def test_the_client_that_every_vendor_is_asked_with_has_these_bounds() -> None:
    async with vendor_client("https://vendor.test") as client:
        assert isinstance(client._transport, BoundedTransport)
        assert client.headers["accept-encoding"] == "identity"
        assert client.follow_redirects is False


STRANGE = {
    "text": b"OK",
    "a page": b"<!doctype html><script>alert(1)</script>",
    "a list": b"[]",
    "nothing": b"",
    "null": b"null",
    "another shape": b'{"data": {"id": 7}}',
    "wrong types": b'{"id": {"$ne": null}, "url": ["x"]}',
    "deep": b"[" * 100_000,
    "not text": b"\xff\xfe\x00",
    "a place to run": json.dumps({"id": "cs_1", "url": "javascript:alert(1)", "object": "checkout.session"}).encode(),
}  # fmt: skip


async def test_a_mailer_that_answers_nonsense_delays_the_mail() -> None:
    """The worker keeps the mail and tries again with the same key, so that it is not sent twice."""
    mail = Mail(key="k/1", to="ada@people.test", subject="s", text="t", html="<p>t</p>", kind="k")
    for name, body in STRANGE.items():
        if name == "a place to run":
            continue  # has an id, and nothing else of it is read
        async with vendor(with_body(body)) as url, vendor_client(url) as client:
            mailer = ResendMailer(client, SecretStr("re_x"), "SendChief <x@people.test>")
            with pytest.raises(MailDelayed):
                await mailer.send(mail)


async def buy(stage: Front) -> httpx.Response:
    path, body = await stage.request_of(f"POST {W}/subscriptions", stage.world.a)
    return await stage.ask(await stage.owner(stage.world.a), "POST", path, body)


async def test_a_payment_provider_that_answers_nonsense_sells_nothing(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    """Through the whole product: the customer is told to come back; nothing of the answer reaches him or is kept."""
    bodies = dict(STRANGE)

    async def next_one(writer: asyncio.StreamWriter) -> None:
        await with_body(next(iter(bodies.values())))(writer)

    async with (
        vendor(next_one) as url,
        front(service_database, trust, tmp_path, services={"provisioner": {"stripe_url": url}}) as stage,
    ):
        path = f"/v1/workspaces/{stage.world.a.workspace_id}/subscriptions"
        while bodies:
            answer = await buy(stage)
            assert answer.status_code == 503, (next(iter(bodies)), answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "alert(1)" not in answer.text
            bodies.pop(next(iter(bodies)))
        listed = await stage.ask(await stage.owner(stage.world.a), "GET", path)
        assert listed.json()["items"] == []


async def test_a_webhook_that_is_not_signed_by_the_vendor_is_refused(stage: Front) -> None:
    body = {"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {"id": "in_1"}}}
    for headers in (
        {},
        {"Stripe_Signature": ""},
        {"Stripe_Signature": "t=1,v1=00"},
        {"Stripe_Signature": f"t={2**40},v1={'0' * 64}"},
        {"Stripe_Signature": "v1=" + "0" * 64},
    ):
        answer = await stage.ask(None, "POST", "/v1/webhooks/stripe", body, **headers)
        assert answer.status_code in (400, 401, 403, 422), headers
