"""pebble issues after an HTTP-01 validation through our resolver, over both families."""

from __future__ import annotations

import ssl

import httpx
import pytest
from cryptography import x509

from sandbox.infrastructure import Infrastructure

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_directory_is_served_under_the_sandboxs_authority_on_both_families(
    world: Infrastructure,
) -> None:
    trust = ssl.create_default_context(cafile=str(world.authority.ca_file))
    async with httpx.AsyncClient(verify=trust) as client:
        for host in (str(world.acme.address_v4), f"[{world.acme.address_v6}]"):
            directory = (await client.get(f"https://{host}:14000/dir")).json()
            assert {"newNonce", "newAccount", "newOrder"} <= set(directory)


async def test_the_issuing_root_is_fetched_at_start(world: Infrastructure) -> None:
    root = x509.load_pem_x509_certificate((await world.acme.roots()).encode())
    assert world.acme.root_file.read_text() == await world.acme.roots()
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.subject != x509.load_pem_x509_certificate(world.authority.ca_file.read_bytes()).subject
