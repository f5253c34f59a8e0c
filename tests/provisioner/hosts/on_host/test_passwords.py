"""Which passwords open a mailbox: changed, taken away, for one tool, of a mailbox that is gone."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from services.provisioner.hosts.desired import MailboxDesired, MailboxLimits, MailboxVerifier
from tests.provisioner.hosts.clients import Submission, read, send, signs_in
from tests.provisioner.hosts.on_host.wishes import with_mailboxes
from tests.provisioner.hosts.world import Server, World, argon2

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


def _carol(*passwords: str) -> MailboxDesired:
    verifiers = tuple(MailboxVerifier(version=n, hash=argon2(text)) for n, text in enumerate(passwords, 1))
    return MailboxDesired(
        mailbox_id="mbx_carol",
        address="carol@example-a.test",
        verifiers=verifiers,
        limits=MailboxLimits(),
    )


async def test_a_rotation_is_in_force_when_apply_returns(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    # Twice within a second, with verifiers of equal length: what a cache by time and size would miss.
    for password in ("first", "other"):
        await with_mailboxes(made_world, server, _carol(password))
        assert await asyncio.to_thread(signs_in, server, trust, "carol@example-a.test", password)
    assert not await asyncio.to_thread(signs_in, server, trust, "carol@example-a.test", "first")


async def test_old_and_new_password_both_open_during_a_rotation(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    await with_mailboxes(made_world, server, _carol("old", "new"))
    assert server.facts is not None
    facts = server.facts.mailbox("mbx_carol")
    assert facts is not None
    assert (facts.version, facts.verified) == (2, True)
    for password in ("old", "new"):
        assert await asyncio.to_thread(signs_in, server, trust, "carol@example-a.test", password)


async def test_app_passwords_open_imap_and_submission_beside_the_mailboxs_own_until_they_are_revoked(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    own = MailboxVerifier(version=1, hash=argon2("own-secret"))
    phone, tool = (
        MailboxVerifier(version=number, hash=argon2(text), selector=text[:4])
        for number, text in ((2, "pho1-secret-of-the-phone"), (3, "to0l-secret-of-the-tool"))
    )
    # Begins otherwise than its selector says, so it is never tried: a wrong password costs no hash of app passwords.
    unfit = MailboxVerifier(version=4, hash=argon2("abcd-secret"), selector="wxyz")
    carol = _carol().model_copy(update={"verifiers": (own, phone, tool, unfit)})
    await with_mailboxes(made_world, server, carol)
    assert server.facts is not None
    facts = server.facts.mailbox("mbx_carol")
    assert facts is not None
    assert (facts.version, facts.verified) == (4, True)
    address = "carol@example-a.test"
    for password in ("own-secret", "pho1-secret-of-the-phone", "to0l-secret-of-the-tool"):
        sent = await asyncio.to_thread(send, server, trust, address, password, [address])
        assert await asyncio.to_thread(read, server, address, password, sent)
    for password in ("abcd-secret", "pho1", "pho1-secret-of-the-tool", ""):
        assert not await asyncio.to_thread(signs_in, server, trust, address, password)
    with pytest.raises(smtplib.SMTPRecipientsRefused, match=r"553|not owned"):
        await asyncio.to_thread(_as_alice, server, trust, address, "pho1-secret-of-the-phone")

    now = datetime.now(UTC)
    facts = (await made_world.ssh.facts(server.address)).mailbox("mbx_carol")
    assert facts is not None
    assert [use.version for use in facts.used] == [
        2,
        3,
    ]  # neither the mailbox's own, nor what was tried in vain
    assert all(
        timedelta() <= now - use.at < timedelta(minutes=10) and not use.at.second for use in facts.used
    )

    await with_mailboxes(made_world, server, carol.model_copy(update={"verifiers": (own, tool)}))

    facts = server.facts.mailbox("mbx_carol")
    assert facts is not None
    assert [use.version for use in facts.used] == [3]
    assert (await server.inside("ls /var/lib/sendchief/password-use")).split() == ["carol@example-a.test:3"]
    assert not await asyncio.to_thread(signs_in, server, trust, address, "pho1-secret-of-the-phone")
    for password in ("own-secret", "to0l-secret-of-the-tool"):
        assert await asyncio.to_thread(signs_in, server, trust, address, password)


def _as_alice(server: Server, trust: ssl.SSLContext, user: str, password: str) -> None:
    """Signs in as `user` and tries to send as another mailbox."""
    with Submission(server, trust) as session:
        session.login(user, password)
        session.sendmail("alice@example-a.test", [user], "From: alice@example-a.test\r\n\r\nA text.\r\n")


async def test_a_removed_mailbox_neither_signs_in_nor_receives(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    await with_mailboxes(made_world, server, _carol("here"))
    kept = tuple(box for box in server.desired.mailboxes if box.mailbox_id != "mbx_carol")
    server.desired = server.desired.model_copy(
        update={"generation": server.desired.generation + 1, "mailboxes": kept}
    )
    server.facts = await made_world.ssh.apply(server.address, server.desired)
    assert not await asyncio.to_thread(signs_in, server, trust, "carol@example-a.test", "here")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await asyncio.to_thread(
            send, server, trust, "alice@example-a.test", "secret-a", ["carol@example-a.test"]
        )
