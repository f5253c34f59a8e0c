"""Certificates: kept while they are good, made anew when their authority is gone, one for each domain."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl

import pytest

from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


async def test_a_good_certificate_is_left_alone(made_world: World, server: Server) -> None:
    assert (await made_world.ssh.certificates(server.address)).issued == ()


async def test_domain_names_are_served_with_their_own_certificate(
    server: Server, trust: ssl.SSLContext
) -> None:
    def policy() -> str:
        plain = socket.create_connection((server.ipv4, 443), 10)
        wrapped = trust.wrap_socket(plain, server_hostname="mta-sts.example-a.test")
        connection = http.client.HTTPConnection("mta-sts.example-a.test")
        connection.sock = wrapped
        connection.request("GET", "/.well-known/mta-sts.txt")
        return connection.getresponse().read().decode()

    assert f"mx: {server.hostname}" in await asyncio.to_thread(policy)


async def test_a_forgotten_root_means_a_new_certificate_by_the_ordinary_path(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    before = (await made_world.ssh.facts(server.address)).tls
    outside = made_world.infrastructure
    await outside.acme.stop()
    await outside.acme.start(outside.tree, outside.resolver)
    root = outside.acme.root_file.read_text()
    # As the world does at a boot: the new root in, the old one out.
    await server.instance.run_inside(
        [
            "/bin/sh",
            "-c",
            "cd /usr/local/share/ca-certificates; cat > new.crt; for f in sandbox-*.crt; do "
            "openssl x509 -noout -subject -in $f | grep -qi pebble && rm $f; done; "
            "update-ca-certificates --fresh >/dev/null 2>&1",
        ],
        stdin=root.encode(),
    )
    assert not (await made_world.ssh.facts(server.address)).tls.chain_verifies
    result = await made_world.ssh.certificates(server.address, retry_now=True)
    after = (await made_world.ssh.facts(server.address)).tls
    assert server.hostname in result.issued, result
    assert after.chain_verifies
    assert after.current_spki_sha256 == after.serving_spki_sha256 == before.current_spki_sha256
    assert after.certificate_sha256 != before.certificate_sha256
