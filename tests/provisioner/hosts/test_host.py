"""A real Debian 13 host under the product's hands: install, apply, certificates, webmail, evidence."""

from __future__ import annotations

import asyncio
import imaplib
import json
import secrets
import smtplib
import ssl
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import SecretBytes

from services.provisioner.hosts.bundle.archive import packages
from services.provisioner.hosts.cloud_init import one_time_host_key
from services.provisioner.hosts.desired import MailboxDesired, MailboxLimits, MailboxVerifier
from services.provisioner.hosts.driver import SshHost
from services.provisioner.hosts.port import (
    HostAddress,
    HostCommandFailed,
    HostKeyChanged,
    HostRefused,
    HostUnreachable,
)
from services.provisioner.hosts.ssh_authority import SshAuthority
from shared.clock import SystemClock
from tests.provisioner.hosts.conftest import roots, self_test
from tests.provisioner.hosts.test_sign_in_broker import encode
from tests.provisioner.hosts.world import Server, World, argon2

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def trust(made_world: World, server: Server, tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(roots(made_world, tmp_path)))


class _ByAddress(smtplib.SMTP_SSL):
    """SMTP over TLS to an address; the certificate is checked against the host's name."""

    def __init__(self, server: Server, trust: ssl.SSLContext) -> None:
        self._name = server.hostname
        super().__init__(server.ipv4, 465, timeout=30, context=trust)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        self._host = self._name
        import socket

        plain = socket.create_connection((host, port), timeout)
        return self.context.wrap_socket(plain, server_hostname=self._name)


def send(
    server: Server, trust: ssl.SSLContext, sender: str, password: str, recipients: list[str], **headers: str
) -> str:
    """Submits one message; returns its Message-ID."""
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(recipients)
    message["Message-ID"] = f"<{secrets.token_hex(10)}@{sender.rpartition('@')[2]}>"
    for name, value in headers.items():
        message[name] = value
    message.set_content("A text.\n")
    with _ByAddress(server, trust) as session:
        session.login(sender, password)
        session.send_message(message)
    return str(message["Message-ID"])


def signs_in(server: Server, trust: ssl.SSLContext, user: str, password: str) -> bool:
    with _ByAddress(server, trust) as session:
        try:
            session.login(user, password)
        except smtplib.SMTPAuthenticationError:
            return False
        return True


def read(server: Server, user: str, password: str, message_id: str, seconds: float = 20) -> str:
    """The message with this Message-ID, waited for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    import time

    ends = time.monotonic() + seconds
    with imaplib.IMAP4_SSL(server.ipv4, 993, ssl_context=context) as session:
        session.login(user, password)
        while time.monotonic() < ends:
            session.select("INBOX")
            _, found = session.search(None, "HEADER", "Message-ID", message_id)
            if found[0]:
                _, parts = session.fetch(found[0].split()[-1].decode(), "(BODY[])")
                assert isinstance(parts[0], tuple)
                return parts[0][1].decode()
            time.sleep(0.1)
    raise AssertionError(f"{message_id} did not arrive")


# -- SSH -------------------------------------------------------------------------------------------------------------


async def test_the_injected_key_is_gone_after_first_contact(made_world: World, server: Server) -> None:
    kept = await server.inside("ls /etc/ssh/ssh_host_*")
    assert kept.split() == ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub"]
    assert server.facts is not None
    assert server.facts.ssh_host_key == server.address.pinned_host_key


async def test_another_host_key_stops_everything(made_world: World, server: Server) -> None:
    stranger = HostAddress(server.server_id, server.ipv4, one_time_host_key().public)
    with pytest.raises(HostKeyChanged):
        await made_world.ssh.facts(stranger)


async def test_a_certificate_of_another_authority_is_refused(server: Server) -> None:
    other = SshHost(SshAuthority(SshAuthority.generate(), SystemClock()))
    with pytest.raises(HostRefused):
        await other.facts(server.address)


async def test_a_certificate_for_another_server_is_refused(made_world: World, server: Server) -> None:
    wrong = HostAddress("srv_" + "f" * 32, server.ipv4, server.address.pinned_host_key)
    with pytest.raises(HostRefused):
        await made_world.ssh.facts(wrong)


async def test_a_silent_address_is_unreachable(made_world: World, server: Server) -> None:
    nobody = HostAddress(
        server.server_id, str(made_world.addresses.vps_v4()[40]), server.address.pinned_host_key
    )
    with pytest.raises(HostUnreachable):
        await made_world.ssh.facts(nobody)


async def test_no_shell_whatever_is_asked(made_world: World, server: Server) -> None:
    key, certificate = made_world.authority.issue(server.server_id, "test")
    pinned = asyncssh.import_public_key(server.address.pinned_host_key)
    async with asyncssh.connect(
        server.ipv4,
        username="scadmin",
        client_keys=[(key, certificate)],
        known_hosts=([pinned], [], []),
        config=[],
    ) as connection:
        done = await connection.run("cat /etc/shadow; id", input="")
    answer = json.loads(str(done.stdout))
    assert answer["error"]["code"] == "unknown_command"


async def test_unknown_verbs_and_bad_requests_are_typed_errors(made_world: World, server: Server) -> None:
    with pytest.raises(HostCommandFailed) as caught:
        await made_world.ssh._call(server.address, "mail-log", {"queue_id": "; rm -rf /"})
    assert caught.value.code == "bad_request"


# -- install and apply ------------------------------------------------------------------------------------------------


async def test_installing_again_changes_nothing(made_world: World, server: Server) -> None:
    before = await made_world.ssh.facts(server.address)
    status = await made_world.ssh.upload_and_start_install(server.address, "again", server.desired)
    while status.state == "running":
        await asyncio.sleep(0.1)
        status = await made_world.ssh.install_status(server.address, "again")
    after = await made_world.ssh.facts(server.address)
    assert status.state == "ok", status
    assert next(step for step in status.steps if step.name == "services").message == "nothing changed"
    assert after.tls == before.tls
    assert after.dkim == before.dkim


async def test_the_same_run_id_runs_once(made_world: World, server: Server) -> None:
    status = await made_world.ssh.upload_and_start_install(server.address, "run1", server.desired)
    assert status.state == "ok"
    assert len(status.steps) == len({step.name for step in status.steps})


async def test_an_unheard_of_run_is_unknown(made_world: World, server: Server) -> None:
    assert (await made_world.ssh.install_status(server.address, "never")).state == "unknown"


async def test_facts_name_every_package(server: Server) -> None:
    assert server.facts is not None
    assert set(server.facts.packages) == set(packages())


async def test_an_older_generation_is_refused(made_world: World, server: Server) -> None:
    old = server.desired.model_copy(update={"generation": 1})
    with pytest.raises(HostCommandFailed) as caught:
        await made_world.ssh.apply(server.address, old)
    assert caught.value.code == "stale_generation"


async def _with_mailboxes(made: World, server: Server, *boxes: MailboxDesired) -> None:
    ids = {box.mailbox_id for box in boxes}
    kept = tuple(box for box in server.desired.mailboxes if box.mailbox_id not in ids)
    server.desired = server.desired.model_copy(
        update={"generation": server.desired.generation + 1, "mailboxes": (*kept, *boxes)}
    )
    server.facts = await made.ssh.apply(server.address, server.desired)


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
        await _with_mailboxes(made_world, server, _carol(password))
        assert await asyncio.to_thread(signs_in, server, trust, "carol@example-a.test", password)
    assert not await asyncio.to_thread(signs_in, server, trust, "carol@example-a.test", "first")


async def test_old_and_new_password_both_open_during_a_rotation(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    await _with_mailboxes(made_world, server, _carol("old", "new"))
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
    await _with_mailboxes(made_world, server, carol)
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

    await _with_mailboxes(made_world, server, carol.model_copy(update={"verifiers": (own, tool)}))

    facts = server.facts.mailbox("mbx_carol")
    assert facts is not None
    assert [use.version for use in facts.used] == [3]
    assert (await server.inside("ls /var/lib/sendchief/password-use")).split() == ["carol@example-a.test:3"]
    assert not await asyncio.to_thread(signs_in, server, trust, address, "pho1-secret-of-the-phone")
    for password in ("own-secret", "to0l-secret-of-the-tool"):
        assert await asyncio.to_thread(signs_in, server, trust, address, password)


def _as_alice(server: Server, trust: ssl.SSLContext, user: str, password: str) -> None:
    """Signs in as `user` and tries to send as another mailbox."""
    with _ByAddress(server, trust) as session:
        session.login(user, password)
        session.sendmail("alice@example-a.test", [user], "From: alice@example-a.test\r\n\r\nA text.\r\n")


async def test_a_removed_mailbox_neither_signs_in_nor_receives(
    made_world: World, server: Server, trust: ssl.SSLContext
) -> None:
    await _with_mailboxes(made_world, server, _carol("here"))
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


# -- a payment is owed --------------------------------------------------------------------------------------------


async def _serve(made_world: World, server: Server, mail_service: str) -> None:
    server.desired = server.desired.model_copy(
        update={"generation": server.desired.generation + 1, "mail_service": mail_service}
    )
    server.facts = await made_world.ssh.apply(server.address, server.desired)


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
        await _serve(made_world, server, "outbound_paused")
        assert await asyncio.to_thread(refused_code, server, trust) == 450
        assert await asyncio.to_thread(from_outside, server, bob) == 250
        await _serve(made_world, server, "read_only")
        assert await asyncio.to_thread(refused_code, server, trust) == 450
        assert await asyncio.to_thread(from_outside, server, bob) == 450
        assert await asyncio.to_thread(from_outside, server, reports) == 250
        assert await asyncio.to_thread(from_outside, server, "nobody@example-a.test") == 550
        assert await asyncio.to_thread(signs_in, server, trust, bob, "secret-b")
    finally:
        await _serve(made_world, server, "full")
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
            await _serve(made_world, server, stage)
        before = await _redirected(server)
        await arrived()
        assert ELSEWHERE not in str(await made_world.ssh.queue(server.address))
        assert await _redirected(server) == before
        await _serve(made_world, server, "full")
        await arrived()
        for _ in range(100):
            if await _redirected(server) > before:
                break
            await asyncio.sleep(0.1)
        assert await _redirected(server) > before
    finally:
        await server.inside(f"rm -f {home}/.dovecot.sieve {home}/.dovecot.svbin")
        await _serve(made_world, server, "full")


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
    await _serve(made_world, server, "read_only")
    try:
        said = await asyncio.to_thread(_tried_to_change, server)
    finally:
        await _serve(made_world, server, "full")
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
    await _serve(made_world, server, stage)
    try:
        rows = await self_test(made_world, server, tmp_path)
        assert [row for row in rows.values() if not row.ok] == []
    finally:
        await _serve(made_world, server, "full")


# -- mail -------------------------------------------------------------------------------------------------------------


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
    await _with_mailboxes(made_world, server, dora)
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


# -- certificates ------------------------------------------------------------------------------------------------------


async def test_a_good_certificate_is_left_alone(made_world: World, server: Server) -> None:
    assert (await made_world.ssh.certificates(server.address)).issued == ()


async def test_domain_names_are_served_with_their_own_certificate(
    server: Server, trust: ssl.SSLContext
) -> None:
    def policy() -> str:
        import http.client
        import socket

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


# -- webmail ---------------------------------------------------------------------------------------------------------


SSO = "/?_task=login&_action=sso"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Browser:
    """Posts to webmail by address with the host's name in TLS and Host."""

    def __init__(self, server: Server, trust: ssl.SSLContext) -> None:
        self.server, self.trust, self.jar = server, trust, CookieJar()

    def request(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        import http.client
        import socket

        wrapped = self.trust.wrap_socket(
            socket.create_connection((self.server.ipv4, 443), 30), server_hostname=self.server.hostname
        )
        connection = http.client.HTTPConnection(self.server.hostname, timeout=30)
        connection.sock = wrapped
        url = f"https://{self.server.hostname}{path}"
        fake = urllib.request.Request(url)
        self.jar.add_cookie_header(fake)
        headers = dict(fake.header_items())
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request("POST" if form is not None else "GET", path, body, headers)
        response = connection.getresponse()
        self.jar.extract_cookies(response, fake)  # type: ignore[arg-type]
        return response.status, response.getheader("Location") or "", response.read().decode(errors="replace")


@pytest.fixture
def keys() -> bytes:
    return secrets.token_bytes(32)


def mint(key: bytes, server: Server, subject: str, **changes: Any) -> str:
    import hashlib
    import hmac

    now = int(time.time())
    claims = {
        "jti": secrets.token_urlsafe(16),
        "sub": subject,
        "aud": server.hostname,
        "iat": now,
        "exp": now + 60,
    }
    payload = encode(json.dumps(claims | changes).encode())
    return f"v1.{payload}.{encode(hmac.new(key, f'v1.{payload}'.encode(), hashlib.sha256).digest())}"


async def test_webmail_link_signs_in_once(
    made_world: World, server: Server, trust: ssl.SSLContext, keys: bytes
) -> None:
    trust.load_verify_locations(cadata="".join(made_world.certificate_authorities()))
    await made_world.ssh.set_webmail_key(server.address, SecretBytes(encode(keys).encode()), 4)
    assert (await made_world.ssh.facts(server.address)).webmail_key_version == 4
    token = mint(keys, server, "alice@example-a.test")
    browser, other = Browser(server, trust), Browser(server, trust)
    status, location, text = await asyncio.to_thread(browser.request, SSO, {"token": token})
    assert status == 302, text
    assert "_task=mail" in location
    status, _, page = await asyncio.to_thread(browser.request, "/?_task=mail")
    assert status == 200
    assert "alice@example-a.test" in page
    status, _, _ = await asyncio.to_thread(other.request, SSO, {"token": token})
    assert status == 401
    for bad in (
        mint(secrets.token_bytes(32), server, "alice@example-a.test"),
        mint(keys, server, "alice@example-a.test", aud="other.mx.sendchief.test"),
        mint(keys, server, "alice@example-a.test", exp=1),
        mint(keys, server, "nobody@example-a.test"),
    ):
        status, _, _ = await asyncio.to_thread(Browser(server, trust).request, SSO, {"token": bad})
        assert status == 401
    status, _, _ = await asyncio.to_thread(other.request, f"{SSO}&token={token}")
    assert status == 405


async def test_of_twenty_tries_at_once_one_signs_in(
    made_world: World, server: Server, trust: ssl.SSLContext, keys: bytes
) -> None:
    trust.load_verify_locations(cadata="".join(made_world.certificate_authorities()))
    await made_world.ssh.set_webmail_key(server.address, SecretBytes(encode(keys).encode()), 5)
    token = mint(keys, server, "alice@example-a.test")
    tries = [asyncio.to_thread(Browser(server, trust).request, SSO, {"token": token}) for _ in range(20)]
    statuses = [status for status, _, _ in await asyncio.gather(*tries)]
    # Some may be turned away by the limit on sign-ins before the broker sees them.
    assert statuses.count(302) == 1
    assert set(statuses) <= {302, 401, 429}
    assert statuses.count(401) >= 2
    assert token not in await server.inside(
        "journalctl -o cat --no-pager; cat /var/log/nginx/* 2>/dev/null || true"
    )


HOLD = """
import imaplib, json, pathlib, socket, sys
with socket.socket(socket.AF_UNIX) as broker:
    broker.connect("/run/sc-ssod/sock")
    broker.sendall(sys.argv[1].encode() + b"\\n")
    answer = json.loads(broker.makefile().readline())
import ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
session = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=60)
session.login(answer["user"], answer["secret"])
session.select("INBOX")
pathlib.Path("/tmp/held").touch()
print("ended:", session.readline())
try:
    again = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=60)
    again.login(answer["user"], answer["secret"])
    print("signed in again")
except imaplib.IMAP4.error as error:
    print("refused:", error)
"""
"""Signs in to IMAP as webmail does, and waits for the connection's end."""


async def test_ended_webmail_is_out_at_once_and_that_of_others_goes_on(
    made_world: World, server: Server, trust: ssl.SSLContext, keys: bytes
) -> None:
    trust.load_verify_locations(cadata="".join(made_world.certificate_authorities()))
    await made_world.ssh.set_webmail_key(server.address, SecretBytes(encode(keys).encode()), 6)
    assert (await made_world.ssh.facts(server.address)).webmail_key_version == 6
    alice, bob = "alice@example-a.test", "bob@example-a.test"
    used, held, unused, others = (secrets.token_urlsafe(16) for _ in range(4))
    browser, other = Browser(server, trust), Browser(server, trust)
    for one, who, jti in ((browser, alice, used), (other, bob, others)):
        status, text = await _opens(one, mint(keys, server, who, jti=jti))
        assert status == 302, text
    script = HOLD.replace("'", '"')
    token = mint(keys, server, alice, jti=held)
    holding = asyncio.create_task(
        server.inside(
            f"setpriv --reuid sc-webmail --regid sc-webmail --clear-groups python3 -c '{script}' {token}"
        )
    )
    while not (await server.inside("ls /tmp/held 2>/dev/null || true")).strip():
        assert not holding.done(), holding.result()
        await asyncio.sleep(0.1)

    box = next(box for box in server.desired.mailboxes if box.address == alice)
    ended = box.model_copy(update={"webmail_ended": (used, held, unused)})
    await _with_mailboxes(made_world, server, ended)

    said = await holding
    assert "ended:" in said
    assert "refused:" in said
    for path in ("/?_task=mail", "/?_task=settings&_action=about", "/?_task=mail"):
        _, location, page = await asyncio.to_thread(browser.request, path)
        assert alice not in page
        assert "_task=login" in location + page
    token = mint(keys, server, alice, jti=unused)
    assert (await _opens(Browser(server, trust), token))[0] == 401
    status, _, page = await asyncio.to_thread(other.request, "/?_task=mail")
    assert status == 200
    assert bob in page
    assert (await _opens(Browser(server, trust), mint(keys, server, alice)))[0] == 302


async def _opens(browser: Browser, token: str) -> tuple[int, str]:
    """Status and page of a sign-in, once nginx has forgotten those that the tests before made at once."""
    while True:
        status, _, page = await asyncio.to_thread(browser.request, SSO, {"token": token})
        if status != 429:
            return status, page
        await asyncio.sleep(1)


async def test_only_webmail_s_user_may_ask_the_broker(server: Server) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/sc-ssod/sock'); "
        "s.sendall(b'v1.x.y\\n'); print(s.recv(100).decode())"
    )
    said = await server.inside(f'setpriv --reuid www-data --clear-groups python3 -c "{script}"')
    assert "refused" in said
    assert "uid" in await server.inside("journalctl -u sc-ssod -n 5 -o cat --no-pager")


async def test_webmail_s_user_reads_neither_keys_nor_verifiers(server: Server) -> None:
    for path in ("/etc/sendchief/sso/key.json", "/etc/sendchief/tls/cur.key", "/etc/sendchief/auth"):
        said = await server.inside(
            f"setpriv --reuid sc-webmail --regid sc-webmail --clear-groups cat {path}/* {path} || true"
        )
        assert "Permission denied" in said


# -- after a reboot --------------------------------------------------------------------------------------------------


async def test_everything_is_there_after_a_reboot(made_world: World, server: Server) -> None:
    made_world.trust_acme()
    before = server.instance.guest_pid()
    await server.inside("systemd-run --quiet --on-active=0.2 systemctl reboot")
    for _ in range(300):
        if server.instance.guest_pid() not in (before, None):
            break
        await asyncio.sleep(0.1)
    for _ in range(300):
        try:
            probe = await made_world.ssh.probe(server.address)
        except HostUnreachable:
            await asyncio.sleep(0.2)
            continue
        if probe.ok:
            break
        await asyncio.sleep(0.2)
    assert probe.ok, probe
    facts = await made_world.ssh.facts(server.address)
    assert server.facts is not None
    assert facts.tls.current_spki_sha256 == server.facts.tls.current_spki_sha256
    assert facts.tls.chain_verifies
