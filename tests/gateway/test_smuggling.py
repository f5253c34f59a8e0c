"""Request smuggling: what nginx and the gateway could read as two different things, by raw sockets.

Each attack hides a second request in the first one's body or head. Behind stands a service that notes whom it was
asked for: the hidden request must never be among them, through the real nginx with the stack's own configuration and
without it.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.local.layout import Layout
from infra.local.nginx import render
from infra.local.ports import free_ports
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, edge, served

HIDDEN = b"GET /v1/auth/jwks?hidden=00 HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROOT = Path(__file__).parents[2]


def post(*lines: bytes, body: bytes = b"", path: bytes = b"/v1/auth/confirm") -> bytes:
    head = [b"POST " + path + b" HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


ATTACKS: dict[str, bytes] = {
    "CL.TE": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
    "CL.TE, the length covers all": post(
        b"Content-Length: %d" % (5 + len(HIDDEN)), b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN
    ),
    "TE.CL": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=chunked(HIDDEN)),
    "TE.TE, two codings": post(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Content-Length: 4",
        body=chunked(HIDDEN),
    ),
    "TE.TE, a list": post(
        b"Transfer-Encoding: identity, chunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "TE with a tab": post(b"Transfer-Encoding:\tchunked", b"Content-Length: 4", body=chunked(HIDDEN)),
    "TE with a vertical tab": post(
        b"Transfer-Encoding: \x0bchunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "TE in quotes": post(b'Transfer-Encoding: "chunked"', b"Content-Length: 4", body=chunked(HIDDEN)),
    "TE, xchunked": post(b"Transfer-Encoding: xchunked", b"Content-Length: 4", body=chunked(HIDDEN)),
    "TE with a space before the colon": post(
        b"Transfer-Encoding : chunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "TE folded": post(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 4", body=chunked(HIDDEN)),
    "TE folded onto another header": post(
        b"X-A: b\r\n Transfer-Encoding: chunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "TE hidden by a bare LF": post(
        b"X-A: b\nTransfer-Encoding: chunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "TE hidden by a bare CR": post(
        b"X-A: b\rTransfer-Encoding: chunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "TE hidden by NUL": post(
        b"X-A: b\x00\r\nTransfer-Encoding: chunked", b"Content-Length: 4", body=chunked(HIDDEN)
    ),
    "two lengths": post(b"Content-Length: 0", b"Content-Length: %d" % len(HIDDEN), body=HIDDEN),
    "a list of lengths": post(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN),
    "a signed length": post(b"Content-Length: +0", body=HIDDEN),
    "a negative length": post(b"Content-Length: -1", body=HIDDEN),
    "a hexadecimal length": post(b"Content-Length: 0x0", body=HIDDEN),
    "a length with a space": post(b"Content-Length : 0", body=HIDDEN),
    "a length folded": post(b"Content-Length:\r\n 0", body=HIDDEN),
    "a length too large for the machine": post(b"Content-Length: 18446744073709551616", body=HIDDEN),
    "a chunk size too large for the machine": post(
        b"Transfer-Encoding: chunked", body=b"10000000000000000\r\n" + HIDDEN
    ),
    "a chunk size with a sign": post(b"Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + HIDDEN),
    "a chunk size with 0x": post(b"Transfer-Encoding: chunked", body=b"0x0\r\n\r\n" + HIDDEN),
    "a chunk ended by a bare LF": post(
        b"Transfer-Encoding: chunked", body=b"2\n{}\n0\n\n".replace(b"0\n\n", b"%x\n" % len(HIDDEN)) + HIDDEN
    ),
    "a chunk longer than said": post(b"Transfer-Encoding: chunked", body=b"2\r\n{}" + HIDDEN + b"0\r\n\r\n"),
    "a chunk extension with a bare LF": post(
        b"Transfer-Encoding: chunked",
        body=b"2;a\nb\r\n{}\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n",
    ),
    "trailers": post(b"Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 4\r\nX: " + HIDDEN),
    "HTTP/1.0 and TE": post(b"Transfer-Encoding: chunked", body=chunked(HIDDEN)).replace(b"1.1", b"1.0", 1),
    "a head ended by bare LFs": post(b"Content-Length: %d" % len(HIDDEN)).replace(b"\r\n", b"\n") + HIDDEN,
    "a request line with a bare CR": post(
        b"Content-Length: %d" % len(HIDDEN), path=b"/v1/auth/confirm\rX", body=HIDDEN
    ),
    "a request line with a second version": post(
        b"Content-Length: %d" % len(HIDDEN), path=b"/v1/auth/confirm HTTP/1.1", body=HIDDEN
    ),
    "a whole URL of an inner path": (
        b"GET http://inner/v1/auth/jwks?hidden=00 HTTP/1.1\r\nHost: inner\r\n\r\n"
        b"GET http://inner/internal/memberships?hidden=00 HTTP/1.1\r\nHost: inner\r\n\r\n"
    ).replace(b"/v1/auth/jwks?hidden=00", b"/internal/introspect?hidden=00"),
    "two hosts": b"GET /internal/memberships?hidden=00 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "an Expect that is none": post(b"Content-Length: 0", b"Expect: 100-continue\r\n y", body=b"") + b"",
}
"""The hidden request is a body, or a part of a head, in at least one reading of each of these."""


@pytest.fixture
async def behind(trust: Trust, tmp_path: Path) -> AsyncIterator[Echo]:
    """The gateway's socket is `gateway.sock`."""
    echo = Echo()
    async with (
        served(echo, tmp_path / "auth.sock"),
        edge(trust, tmp_path, rate_limit_public=10**6, filter_action="observe") as made,
        served(made.gateway, tmp_path / "gateway.sock"),
    ):
        yield echo


@pytest.fixture
def nginx(tmp_path: Path, behind: Echo) -> Iterator[int]:
    """The stack's own nginx configuration in front of that socket; the port where it speaks TLS."""
    (tmp_path / "run/nginx").mkdir(parents=True)
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    subject = [
        "-subj",
        "/CN=localhost",
        "-days",
        "1",
        "-nodes",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", *curve, *subject], check=True, capture_output=True)
    (port,) = free_ports(1)
    layout = SimpleNamespace(home=tmp_path, logs=tmp_path, sockets=tmp_path, mount=ROOT)
    config = render(cast(Layout, layout), port, certificate, key)
    with ExitStack() as stack:
        process = subprocess.Popen(
            ["nginx", "-g", "user root;", "-c", str(config)], stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        yield port


async def through_nginx(port: int, data: bytes) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    for attempt in range(100):
        try:
            return await spoken(*await asyncio.open_connection("127.0.0.1", port, ssl=context), data)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02 * (attempt + 1))
    raise AssertionError("nginx does not listen")


async def spoken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """All that comes, until the connection is closed or silent: long before the first byte, shortly afterwards."""
    answer = b""
    try:
        writer.write(data)
        await writer.drain()
        while True:
            async with asyncio.timeout(0.3 if answer else 3.0):
                piece = await reader.read(65536)
            if not piece:
                break
            answer += piece
    except (TimeoutError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.transport.abort()
    return answer


def succeeded(seen: list[dict[str, Any]]) -> list[str]:
    """The attacks whose hidden request was asked of the service."""
    names = list(ATTACKS)
    queries = [one["query"] for one in seen]
    found = [names[int(query.partition("hidden=")[2])] for query in queries if "hidden=" in query]
    return found + [one["path"] for one in seen if one["path"].startswith("/internal")]


def numbered() -> list[bytes]:
    return [attack.replace(b"hidden=00", b"hidden=%02d" % n) for n, attack in enumerate(ATTACKS.values())]


@pytest.mark.asvs("4.2.1")
async def test_no_hidden_request_reaches_a_service_through_nginx(nginx: int, behind: Echo) -> None:
    answers = await asyncio.gather(*(through_nginx(nginx, attack) for attack in numbered()))
    assert succeeded(behind.seen) == []
    assert any(b"HTTP/1.1 400" in answer for answer in answers)


@pytest.mark.asvs("4.2.1")
async def test_no_hidden_request_reaches_a_service_through_the_gateway_alone(
    behind: Echo, tmp_path: Path
) -> None:
    socket = str(tmp_path / "gateway.sock")
    streams = [await asyncio.open_unix_connection(socket) for _ in ATTACKS]
    answers = await asyncio.gather(
        *(spoken(*stream, attack) for stream, attack in zip(streams, numbered(), strict=True))
    )
    assert succeeded(behind.seen) == []
    assert any(b"HTTP/1.1 400" in answer for answer in answers)


async def test_a_hidden_request_that_is_read_would_be_noticed(nginx: int, behind: Echo) -> None:
    """nginx and the gateway read this one alike, as two requests: the service is asked both."""
    alike = post(b"Transfer_Encoding: chunked", b"Content-Length: 4", body=chunked(HIDDEN))
    await through_nginx(nginx, alike)
    assert succeeded(behind.seen) == [next(iter(ATTACKS))]


async def test_the_front_forwards_what_is_sent_plainly(nginx: int, behind: Echo) -> None:
    """Otherwise the attacks above would prove nothing."""
    plain = post(b"Content-Length: 2", body=b"{}") + HIDDEN
    answer = await through_nginx(nginx, plain)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert [one["query"] for one in behind.seen] == ["", "hidden=00"]


@pytest.mark.asvs("4.1.3")
async def test_no_header_with_an_underscore_or_of_identity_gets_past_nginx(nginx: int, behind: Echo) -> None:
    forged = [
        b"X_SC_Identity: forged",
        b"X-SC-Identity: forged",
        b"X-Forwarded-For: 198.51.100.9",
        b"X-Real-IP: 1",
    ]
    await through_nginx(nginx, post(b"Content-Length: 2", *forged, body=b"{}"))
    assert "forged" not in str(behind.seen[-1]["headers"])
    assert "198.51.100.9" not in str(behind.seen[-1]["headers"])
