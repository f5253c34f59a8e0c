"""What the host logs of mail, how much a mailbox may send, and where reports go."""

from __future__ import annotations

import asyncio
import smtplib
import ssl

import pytest

from services.provisioner.hosts.desired import MailboxDesired, MailboxLimits, MailboxVerifier
from tests.provisioner.hosts.clients import read, send
from tests.provisioner.hosts.on_host.wishes import with_mailboxes
from tests.provisioner.hosts.world import Server, World, argon2

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


async def test_mail_log_tells_a_message_s_way(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    message_id = await asyncio.to_thread(
        send, server, trust, "alice@example-a.test", "secret-a", ["bob@example-a.test"]
    )
    await asyncio.to_thread(read, server, "bob@example-a.test", "secret-b", message_id)
    lines = await made_world.ssh.mail_log(server.address, message_id=message_id)
    assert any("sasl_username=alice@example-a.test" in line for line in lines)
    assert any("status=sent" in line and "bob@example-a.test" in line for line in lines)


async def test_the_limit_counts_recipients_and_no_postmaster_lifts_it(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    dora = MailboxDesired(
        mailbox_id="mbx_dora",
        address="dora@example-a.test",
        verifiers=(MailboxVerifier(version=1, hash=argon2("limited")),),
        limits=MailboxLimits(recipients_per_hour=6, recipients_per_day=100),
    )
    await with_mailboxes(made_world, server, dora)
    many = ["alice@example-a.test", "bob@example-a.test", f"postmaster@{server.hostname}"]

    def try_to_send() -> int:
        for sent in range(6):
            try:
                send(server, trust, dora.address, "limited", many)
            except smtplib.SMTPDataError as error:
                return sent if error.smtp_code == 451 else -error.smtp_code
        return 6

    assert await asyncio.to_thread(try_to_send) == 2
    # Another mailbox of the host is not slowed down by it.
    await asyncio.to_thread(send, server, trust, "alice@example-a.test", "secret-a", ["bob@example-a.test"])


async def test_reports_are_stored(made_world: World, server: Server) -> None:
    with smtplib.SMTP(server.ipv4, 25, local_hostname="outside.invalid") as session:
        session.sendmail(
            "", [f"dmarc@{server.hostname}"], "From: r@outside.invalid\r\nSubject: report\r\n\r\nx\r\n"
        )
    folder = f"/var/vmail/{server.hostname}/reports/Maildir/new"
    for _ in range(50):
        if (await server.inside(f"ls {folder} 2>/dev/null || true")).strip():
            break
        await asyncio.sleep(0.1)
    assert "Subject: report" in await server.inside(f"cat {folder}/*")
