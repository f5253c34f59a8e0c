"""The sandbox's authority lives on, and its certificates verify for their names only."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sandbox.serve import HttpServers
from sandbox.tls import Authority


def test_the_authority_is_made_once_and_its_keys_are_private(tmp_path: Path) -> None:
    first = Authority(tmp_path).ca_file.read_bytes()
    pair = Authority(tmp_path).issue("web", names=["localhost"])
    assert Authority(tmp_path).ca_file.read_bytes() == first
    assert pair.key.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


async def test_a_server_keeps_its_port_and_is_verified_by_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    pair = authority.issue("web", addresses=["127.0.0.1"])
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    urls = []
    for _ in range(2):
        servers = HttpServers(tmp_path, pair)
        urls.append(servers.reserve("web"))
        await servers.start("web", app)
        trust = ssl.create_default_context(cafile=str(authority.ca_file))
        async with httpx.AsyncClient(verify=trust) as client:
            assert (await client.get(urls[-1])).text == "here"
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(urls[-1].replace("127.0.0.1", "localhost"))
        await servers.stop()
    assert urls[0] == urls[1]
