"""Two real hosts write to each other: DANE-verified, signed twice, and held back when TLSA lies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio

from tests.provisioner.hosts.clients import read, send
from tests.provisioner.hosts.conftest import ready_server
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]

ALICE, BOB = "alice@example-a.test", "bob@example-b.test"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pair(made_world: World) -> tuple[Server, Server]:
    first, second = await asyncio.gather(
        ready_server(made_world, 0, "example-a.test"), ready_server(made_world, 1, "example-b.test")
    )
    return first, second


@pytest.fixture
def trust(made_world: World) -> ssl.SSLContext:
    return ssl.create_default_context(cadata="".join(made_world.certificate_authorities()))


async def until(what: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.2)):
        if await what():
            return
        await asyncio.sleep(0.2)
    raise TimeoutError


async def test_mail_arrives_verified_and_signed_twice(
    made_world: World, pair: tuple[Server, Server], trust: ssl.SSLContext
) -> None:
    first, second = pair
    message_id = await asyncio.to_thread(send, first, trust, ALICE, "secret-a", [BOB])
    text = await asyncio.to_thread(read, second, BOB, "secret-b", message_id)
    verdict = text.split("Authentication-Results:", 1)[1].split("\nFrom:", 1)[0]
    assert f"{second.hostname};" in verdict
    assert verdict.count("dkim=pass header.d=example-a.test") == 2
    assert "spf=pass" in verdict
    assert "dmarc=pass" in verdict
    log = await made_world.ssh.mail_log(first.address, message_id=message_id)
    assert any(f"Verified TLS connection established to {second.hostname}" in line for line in log), log


async def test_a_lying_tlsa_record_holds_mail_back_until_it_is_repaired(
    made_world: World, pair: tuple[Server, Server], trust: ssl.SSLContext
) -> None:
    first, second = pair
    name = f"_25._tcp.{second.hostname}."
    await made_world.tree.set_records(name, "TLSA", [f"3 1 1 {'0' * 64}"])
    # What the sender has cached would run out within the record's TTL.
    await first.inside("systemctl reload unbound postfix; sleep 0.5")
    message_id = await asyncio.to_thread(send, first, trust, ALICE, "secret-a", [BOB])

    async def deferred() -> bool:
        log = await made_world.ssh.mail_log(first.address, message_id=message_id)
        return any("status=deferred" in line and "dsn=4.7.5" in line for line in log)

    await until(deferred)
    queued = await made_world.ssh.queue(first.address)
    assert [entry.recipients for entry in queued] == [(BOB,)]
    await made_world.publish(second)
    await made_world.ssh.queue(first.address, flush=True)
    assert "A text." in await asyncio.to_thread(read, second, BOB, "secret-b", message_id)


async def test_the_sender_s_device_stays_private(
    made_world: World, pair: tuple[Server, Server], trust: ssl.SSLContext
) -> None:
    first, second = pair
    headers = {"User-Agent": "Secret/1.0", "X-Originating-IP": "[10.1.2.3]"}

    def submit() -> str:
        return send(first, trust, ALICE, "secret-a", [BOB], **headers)

    text = await asyncio.to_thread(read, second, BOB, "secret-b", await asyncio.to_thread(submit))
    assert "Secret/1.0" not in text
    assert "10.1.2.3" not in text
    assert str(made_world.addresses.control_plane) not in text
