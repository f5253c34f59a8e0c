"""The real nginx with the stack's own configuration, as a scanner from outside sees it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fixtures.identity import Trust
from tests.fixtures.web_server import WebServer, web_server
from tests.gateway.edge import Echo, edge, served


@pytest.fixture
async def front(trust: Trust, tmp_path: Path) -> AsyncIterator[WebServer]:
    async with (
        served(Echo(), tmp_path / "auth.sock"),
        edge(trust, tmp_path) as made,
        served(made.gateway, tmp_path / "gateway.sock"),
        web_server(tmp_path) as server,
    ):
        yield server


async def shaken(server: WebServer, context: ssl.SSLContext) -> tuple[str, str] | None:
    """Version and cipher that were agreed on, or None when the server refused."""
    parts = urlsplit(server.url)
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", parts.port, ssl=context, server_hostname="localhost"
        )
    except ssl.SSLError:
        return None
    tls = writer.get_extra_info("ssl_object")
    agreed = tls.version(), tls.cipher()[0]
    writer.close()
    return agreed


def offering(server: WebServer, version: ssl.TLSVersion, ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.set_ciphers(ciphers or "ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.asvs("12.1.1", "12.1.2")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_1_2_and_1_3_with_forward_secrecy_and_nothing_older(front: WebServer) -> None:
    newest = await shaken(front, offering(front, ssl.TLSVersion.TLSv1_3))
    assert newest is not None
    assert newest[0] == "TLSv1.3"
    older = await shaken(front, offering(front, ssl.TLSVersion.TLSv1_2))
    assert older is not None
    assert older[1].startswith("ECDHE-ECDSA-")
    assert older[1].endswith(("GCM-SHA384", "GCM-SHA256", "POLY1305"))
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        assert await shaken(front, offering(front, version)) is None
    weak = "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"
    assert await shaken(front, offering(front, ssl.TLSVersion.TLSv1_2, weak)) is None


@pytest.mark.asvs("12.2.1", "4.1.2")
async def test_plain_http_is_refused_and_not_redirected(front: WebServer) -> None:
    plain = front.url.replace("https://", "http://")
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{plain}/v1/me", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.asvs("13.4.1", "13.4.3")
@pytest.mark.parametrize(
    "path", ["/.git/HEAD", "/.git/config", "/.svn/entries", "/status/../.git/HEAD", "/pages/", "/infra/"]
)
async def test_neither_version_control_nor_a_directory_is_shown(front: WebServer, path: str) -> None:
    context = ssl.create_default_context(cafile=str(front.ca_file))
    async with httpx.AsyncClient(verify=context) as client:
        answer = await client.get(front.url + path)
    assert answer.status_code in (400, 404)
    assert "Index of" not in answer.text
    assert "ref:" not in answer.text
