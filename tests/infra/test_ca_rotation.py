"""The authority of TLS inside is replaced while clients come and go."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from pydantic import SecretStr

from infra.local.ca_rotation import AuthorityFiles, presents
from infra.local.pki import Authority
from shared.bus.connection import connect
from tests.fixtures.bus import Rabbit, own_rabbit

NAMES = ["localhost", "127.0.0.1"]


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    with own_rabbit(tls=True) as made:
        yield made


class Clients:
    """Somebody who connects again and again, as a process does after each loss."""

    def __init__(self, url: SecretStr, ca_file: Path) -> None:
        self._url, self._ca_file = url, ca_file
        self.connected = 0
        self._over = asyncio.Event()

    async def run(self) -> None:
        while not self._over.is_set():
            connection = await connect(self._url, self._ca_file, name="test")
            await connection.close()
            self.connected += 1

    def end(self) -> None:
        self._over.set()


async def test_no_client_is_refused_while_the_authority_is_replaced(rabbit: Rabbit) -> None:
    broker = rabbit.node
    assert broker.tls is not None
    ca_file, certificate_file, _ = broker.tls
    url = SecretStr(rabbit.url("auth"))
    former = x509.load_pem_x509_certificate(ca_file.read_bytes())
    files = AuthorityFiles(ca_file.parent, "test")
    clients = Clients(url, ca_file)
    coming_and_going = asyncio.create_task(clients.run())
    try:
        assert files.publish() == files.publish()  # an interrupted rotation goes on with the same authority
        assert files.retire(older_than=0) == []
        authority = files.switch()
        authority.server("rabbitmq", NAMES)
        await asyncio.to_thread(broker.control, "eval", "ssl:clear_pem_cache().")
        present, also = x509.load_pem_x509_certificates(ca_file.read_bytes())
        assert also == former
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(presents, broker.ports["amqp"], present):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        seen = clients.connected
        assert files.retire(older_than=3600) == []
        assert len(files.retire(older_than=0)) == 1
        while clients.connected < seen + 3:
            await asyncio.sleep(0.05)
            assert not coming_and_going.done()
    finally:
        clients.end()
        await coming_and_going
    assert x509.load_pem_x509_certificates(ca_file.read_bytes()) == [present]
    assert not presents(broker.ports["amqp"], former)
    assert x509.load_pem_x509_certificate(certificate_file.read_bytes()).issuer == present.subject


@pytest.mark.asvs("12.3.2", "12.3.4")
async def test_a_client_refuses_a_broker_of_another_authority(rabbit: Rabbit, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "somebody else").certificate_file
    with pytest.raises((ssl.SSLCertVerificationError, ConnectionError)) as refused:
        await connect(SecretStr(rabbit.url("auth")), stranger, name="test")
    assert "CERTIFICATE_VERIFY_FAILED" in str(refused.value)


async def test_a_broker_with_tls_refuses_a_client_without(rabbit: Rabbit) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", rabbit.node.ports["amqp"])
    writer.write(b"AMQP\x00\x00\x09\x01")
    answer = b""
    try:
        answer = await asyncio.wait_for(reader.read(64), 10)
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    assert not answer.startswith(b"AMQP")
    assert b"PLAIN" not in answer
