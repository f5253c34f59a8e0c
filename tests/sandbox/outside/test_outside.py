"""The outside mail host sends, receives, refuses and bounces as a plain host of the internet does."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
from collections.abc import AsyncIterator

import pytest

from sandbox.infrastructure import Infrastructure
from sandbox.outside.sockets import listen_in, socket_in

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextlib.asynccontextmanager
async def session(world: Infrastructure) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(str(world.outside.address_v4), 25)
    assert (await reader.readline()).startswith(b"220 mx.outside.test")
    try:
        yield reader, writer
    finally:
        writer.close()


async def say(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], line: str) -> str:
    reader, writer = stream
    writer.write(line.encode())
    while True:
        answer = (await asyncio.wait_for(reader.readline(), 5)).decode()
        if answer[3:4] != "-":
            return answer.strip()


async def test_mail_to_itself_arrives_under_tls_and_keeps_its_text(world: Infrastructure) -> None:
    sent = await world.outside.send(
        sender="a@outside.test", recipient="b@outside.test", subject="Grüße", body="one\n.two\n"
    )
    assert (sent["outcome"], sent["tls"]) == ("delivered", "TLSv1.3")
    assert any("STARTTLS" in line for line in sent["dialogue"])
    message = world.outside.messages("b@outside.test")[-1]
    assert message["text"].splitlines() == ["one", ".two"]
    assert message["subject"] == "Grüße"
    assert message["peer"] == str(world.outside.address_v6)


async def test_a_refused_recipient_becomes_a_bounce_in_the_senders_mailbox(world: Infrastructure) -> None:
    sent = await world.outside.send(
        sender="writer@outside.test", recipient="unknown1@outside.test", subject="hello", body="x"
    )
    assert (sent["outcome"], sent["code"]) == ("refused", 550)
    bounce = world.outside.messages("writer@outside.test")[-1]
    assert bounce["is_bounce"]
    parsed = email.message_from_string(bounce["raw"], policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    status = [part for part in parsed.walk() if part.get_content_type() == "message/delivery-status"]
    assert "5.1.1" in str(status[0])


async def test_a_full_mailbox_defers_and_bounces_nothing(world: Infrastructure) -> None:
    sent = await world.outside.send(
        sender="patient@outside.test", recipient="full@outside.test", subject="hello", body="x"
    )
    assert (sent["outcome"], sent["code"]) == ("deferred", 452)
    assert world.outside.messages("patient@outside.test") == []


async def test_a_domain_that_does_not_exist_is_refused(world: Infrastructure) -> None:
    sent = await world.outside.send(sender="a@outside.test", recipient="x@nowhere.test", subject="", body="x")
    assert sent["outcome"] == "refused"


async def test_it_relays_for_nobody(world: Infrastructure) -> None:
    async with session(world) as stream:
        await say(stream, "EHLO t\r\n")
        await say(stream, "MAIL FROM:<a@elsewhere.test>\r\n")
        assert (await say(stream, "RCPT TO:<b@elsewhere.test>\r\n")).startswith("554 5.7.1")


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        (["MAIL FROM:<a@b.test>\r\n"], "503"),
        (["EHLO t\r\n", "RCPT TO:<a@outside.test>\r\n"], "503"),
        (["EHLO t\r\n", "MAIL FROM:<a@b.test>\r\n", "DATA\r\n"], "503"),
        (["EHLO t\r\n", "MAIL FROM: a@b.test\r\n"], "501"),
        (["EHLO t\r\n", "MAIL FROM:<a@b.test> SIZE=99999999\r\n"], "552"),
        (["EHLO t\r\n", "NOPE\r\n"], "500"),
        (["EHLO " + "x" * 600 + "\r\n"], "500"),
        (["EHLO t\n"], "500"),
    ],
)
async def test_wrong_commands_are_refused(world: Infrastructure, commands: list[str], answer: str) -> None:
    async with session(world) as stream:
        last = [await say(stream, command) for command in commands][-1]
        assert last.startswith(answer)


async def test_a_bare_line_feed_in_the_message_is_refused(world: Infrastructure) -> None:
    async with session(world) as stream:
        for command in ("EHLO t\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<smuggled@outside.test>\r\n", "DATA\r\n"):
            await say(stream, command)
        answer = await say(stream, "Subject: x\r\n\r\na\n.\nMAIL FROM:<evil@x.test>\r\n.\r\n")
        assert answer.startswith("554 5.6.0")
    assert world.outside.messages("smuggled@outside.test") == []


async def test_a_socket_of_the_namespace_is_not_of_this_machine(world: Infrastructure) -> None:
    listener = listen_in(world.namespace.path, "127.0.0.1", 2525)
    with contextlib.closing(listener):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 2525)
        with contextlib.closing(socket_in(world.namespace.path, listener.family)) as inside:
            inside.setblocking(False)
            await asyncio.get_running_loop().sock_connect(inside, ("127.0.0.1", 2525))
