"""A payment is owed: sending is paused, then mail can only be read, and payment restores all."""

from __future__ import annotations

import asyncio
import imaplib
import secrets
import smtplib
import ssl
from pathlib import Path

import pytest

from tests.provisioner.hosts.clients import read, send, signs_in
from tests.provisioner.hosts.conftest import self_test
from tests.provisioner.hosts.on_host.wishes import serve
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


def refused_code(server: Server, trust: ssl.SSLContext) -> int:
    """What alice gets for a message to bob: 0 when it is taken."""
    try:
        send(server, trust, "alice@example-a.test", "secret-a", ["bob@example-a.test"])
    except smtplib.SMTPRecipientsRefused as error:
        return next(iter(error.recipients.values()))[0]
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    return 0


def from_outside(server: Server, recipient: str) -> int:
    """What a stranger gets for a recipient on port 25."""
    with smtplib.SMTP(server.ipv4, 25, timeout=30) as session:
        session.ehlo("outside.test")
        session.docmd("MAIL FROM:<>")
        return session.docmd(f"RCPT TO:<{recipient}>")[0]


async def test_a_paused_host_puts_submission_off_takes_mail_and_is_as_before_after_payment(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    bob, reports = "bob@example-a.test", server.desired.reports.address
    try:
        await serve(made_world, server, "outbound_paused")
        assert await asyncio.to_thread(refused_code, server, trust) == 450
        assert await asyncio.to_thread(from_outside, server, bob) == 250
        await serve(made_world, server, "read_only")
        assert await asyncio.to_thread(refused_code, server, trust) == 450
        assert await asyncio.to_thread(from_outside, server, bob) == 450
        assert await asyncio.to_thread(from_outside, server, reports) == 250
        assert await asyncio.to_thread(from_outside, server, "nobody@example-a.test") == 550
        assert await asyncio.to_thread(signs_in, server, trust, bob, "secret-b")
    finally:
        await serve(made_world, server, "full")
    assert await asyncio.to_thread(refused_code, server, trust) == 0
    assert await asyncio.to_thread(from_outside, server, bob) == 250


ELSEWHERE = "elsewhere@nowhere.invalid"


async def _redirected(server: Server) -> int:
    """What Postfix has said so far about mail to the address that alice's script redirects to."""
    said = await server.inside(f"journalctl -q --no-pager | grep -c 'postfix.* to=<{ELSEWHERE}>' || true")
    return int(said.strip())


def _from_a_stranger(server: Server) -> str:
    message_id = f"<{secrets.token_hex(10)}@outside.invalid>"
    with smtplib.SMTP(server.ipv4, 25, local_hostname="outside.invalid", timeout=30) as session:
        text = f"From: r@outside.invalid\r\nMessage-ID: {message_id}\r\nSubject: x\r\n\r\nx\r\n"
        session.sendmail("", ["alice@example-a.test"], text)
    return message_id


async def test_a_script_that_redirects_sends_nothing_while_sending_is_paused(
    made_world: World, server: Server
) -> None:
    """The mail itself is kept, and after payment the script does its work as before."""
    home = "/var/vmail/example-a.test/alice"
    script = f'require "copy"; redirect :copy "{ELSEWHERE}";'
    await server.inside(
        f"mkdir -p {home}; echo '{script}' > {home}/.dovecot.sieve; chown -R vmail: /var/vmail/example-a.test"
    )

    async def arrived() -> None:
        message_id = await asyncio.to_thread(_from_a_stranger, server)
        await asyncio.to_thread(read, server, "alice@example-a.test", "secret-a", message_id)

    try:
        for stage in ("outbound_paused", "read_only", "outbound_paused"):
            await serve(made_world, server, stage)
        before = await _redirected(server)
        await arrived()
        assert ELSEWHERE not in str(await made_world.ssh.queue(server.address))
        assert await _redirected(server) == before
        await serve(made_world, server, "full")
        await arrived()
        for _ in range(100):
            if await _redirected(server) > before:
                break
            await asyncio.sleep(0.1)
        assert await _redirected(server) > before
    finally:
        await server.inside(f"rm -f {home}/.dovecot.sieve {home}/.dovecot.svbin")
        await serve(made_world, server, "full")


def _tried_to_change(server: Server) -> dict[str, str]:
    """What alice is answered to each way of changing her mail; `left` counts her messages before and after."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    said: dict[str, str] = {}
    with imaplib.IMAP4_SSL(server.ipv4, 993, ssl_context=context) as session:
        session.login("alice@example-a.test", "secret-a")
        _, before = session.select("INBOX")
        said["fetch"] = session.fetch("1", "(BODY[])")[0]
        said["seen"] = session.store("1", "+FLAGS", "\\Seen")[0]
        said["append"] = session.append("INBOX", "", "", b"Subject: new\r\n\r\nx\r\n")[0]
        said["copy"] = session.copy("1", "INBOX")[0]
        session.store("1", "+FLAGS", "\\Deleted")
        session.expunge()
        _, after = session.select("INBOX")
        said["left"] = f"{before[0].decode()} {after[0].decode()}"  # type: ignore[union-attr]
    return said


async def test_mail_on_a_read_only_host_is_read_and_not_changed(made_world: World, server: Server) -> None:
    message_id = await asyncio.to_thread(_from_a_stranger, server)
    await asyncio.to_thread(read, server, "alice@example-a.test", "secret-a", message_id)
    await serve(made_world, server, "read_only")
    try:
        said = await asyncio.to_thread(_tried_to_change, server)
    finally:
        await serve(made_world, server, "full")
    before, after = said.pop("left").split()
    assert said == {"fetch": "OK", "seen": "OK", "append": "NO", "copy": "NO"}
    assert before == after
    said = await asyncio.to_thread(_tried_to_change, server)
    assert said.pop("left") == f"{before} {int(before) + 1}"  # one appended, one copied, one deleted
    assert set(said.values()) == {"OK"}


@pytest.mark.parametrize("stage", ["outbound_paused", "read_only"])
async def test_the_self_test_passes_on_a_paused_host(
    made_world: World, server: Server, tmp_path: Path, stage: str
) -> None:
    await serve(made_world, server, stage)
    try:
        rows = await self_test(made_world, server, tmp_path)
        assert [row for row in rows.values() if not row.ok] == []
    finally:
        await serve(made_world, server, "full")
