"""Rows about mail itself: who may send, and a message that really goes through."""

from __future__ import annotations

import contextlib
import email
import email.utils
import secrets
import time
from email.message import EmailMessage

from services.provisioner.hosts.self_test import dkim
from services.provisioner.hosts.self_test.checks import CheckResult, SelfTestTarget
from services.provisioner.hosts.self_test.rows import row
from services.provisioner.hosts.self_test.wire import ImapSession, SmtpSession


def banner(target: SelfTestTarget) -> list[CheckResult]:
    """The name in the greeting is the host's: what PTR and HELO have to match."""
    with SmtpSession(target, 25) as session:
        greeting = session.banner
    named = greeting.text.split()[0].lower() if greeting.text else ""
    return [row("smtp_banner", ok=greeting.code == 220 and named == target.hostname, evidence=str(greeting))]


def auth_offers(target: SelfTestTarget) -> list[CheckResult]:
    """AUTH never on 25, never before TLS."""
    with SmtpSession(target, 25) as session:
        clear = session.hello()
        session.start_tls()
        encrypted = session.hello()
        tried = session.sign_in(target.selftest_address, "x")
    with SmtpSession(target, 587) as session:
        submission = session.hello()
        early = session.sign_in(target.selftest_address, "x")
    on_25 = sorted(word for word in clear | encrypted if word.startswith("AUTH"))
    return [
        row(
            "no_auth_on_25",
            ok=not on_25 and tried.code >= 500,
            evidence=f"offered on 25: {on_25 or 'nothing'}; tried: {tried}",
        ),
        row(
            "no_auth_before_tls",
            ok="STARTTLS" in submission
            and not any(w.startswith("AUTH") for w in submission)
            and early.code >= 500,
            evidence=f"587 in clear offers {sorted(submission)}; tried: {early}",
        ),
    ]


def relay(target: SelfTestTarget) -> list[CheckResult]:
    """Six ways to make the host carry mail for strangers, each with an address that is not loopback."""
    local, _, domain = target.foreign_recipient.partition("@")
    cases = (
        ("stranger to stranger", "<>", target.foreign_recipient),
        ("own sender to stranger", f"<{target.selftest_address}>", target.foreign_recipient),
        ("percent hack", "<>", f"{local}%{domain}@{target.hostname}"),
    )
    seen, accepted = [], []
    for encrypted in (False, True):
        for name, sender, recipient in cases:
            with SmtpSession(target, 25) as session:
                session.hello()
                if encrypted:
                    session.start_tls()
                    session.hello()
                answer = session.command(f"MAIL FROM:{sender}")
                if answer.code == 250:
                    answer = session.command(f"RCPT TO:<{recipient}>")
            label = f"{name}, {'TLS' if encrypted else 'clear'}: {answer.code}"
            seen.append(label)
            if not 500 <= answer.code <= 599:
                accepted.append(label)
    return [row("no_relay", ok=not accepted and len(seen) == 6, evidence="; ".join(seen))]


def recipients(target: SelfTestTarget) -> list[CheckResult]:
    """Report addresses exist; an unknown user is refused while the sender still listens, not bounced later."""
    answers = {}
    with SmtpSession(target, 25) as session:
        session.hello()
        session.command("MAIL FROM:<>")
        for address in (*target.report_addresses, f"nobody-{secrets.token_hex(4)}@{target.hostname}"):
            answers[address] = session.command(f"RCPT TO:<{address}>").code
    *known, unknown = answers.values()
    return [
        row(
            "report_addresses",
            ok=bool(known) and all(code == 250 for code in known),
            evidence=str({address: answers[address] for address in target.report_addresses}),
        ),
        row("unknown_recipient", ok=unknown == 550, evidence=f"unknown recipient: {unknown}"),
    ]


def smuggling(target: SelfTestTarget) -> list[CheckResult]:
    """A dot between a bare line feed and CRLF must not end a message, or a second one could hide in it."""
    hidden = f"\n.\r\nMAIL FROM:<>\r\nRCPT TO:<{target.selftest_address}>\r\nDATA\r\nSubject: hidden\r\n\r\nx"
    with SmtpSession(target, 25) as session:
        session.hello()
        session.command("MAIL FROM:<>")
        session.command(f"RCPT TO:<{target.selftest_address}>")
        session.command("DATA")
        visible = _message(target, "outside@self-test.invalid", "smuggling").replace(b"\n.\n", b"\n..\n")
        first = session.raw(visible.replace(b"\n", b"\r\n") + hidden.encode() + b"\r\n.\r\n")
        # Whoever took the hidden commands for commands has more answers waiting before this one.
        following = session.command("VRFY self-test")
    return [
        row(
            "no_smuggling",
            ok=first.code == 250 and following.code == 502,
            evidence=f"one message: {first}; then: {following}",
        )
    ]


def authenticated(target: SelfTestTarget, password: str) -> list[CheckResult]:
    """Sign-in after TLS on 465 and 587; what a signed-in mailbox may and may not say."""
    with SmtpSession(target, 587) as session:
        session.hello()
        session.start_tls()
        session.hello()
        on_587 = session.sign_in(target.selftest_address, password)
    with SmtpSession(target, 465, implicit_tls=True) as session:
        session.hello()
        wrong = session.sign_in(target.selftest_address, secrets.token_urlsafe(16))
    with SmtpSession(target, 465, implicit_tls=True) as session:
        session.hello()
        on_465 = session.sign_in(target.selftest_address, password)
        session.command(f"MAIL FROM:<postmaster@{target.hostname}>")
        envelope = session.command(f"RCPT TO:<{target.selftest_address}>")
    rows = [
        row(
            "auth_after_tls",
            ok=on_587.code == 235 and on_465.code == 235 and wrong.code == 535,
            evidence=f"587 {on_587.code}, 465 {on_465.code}, wrong password {wrong.code}",
        ),
        row("sender_bound_to_mailbox", ok=envelope.code == 553, evidence=str(envelope)),
    ]
    return rows + _signed_in_sender(target, password)


def _signed_in_sender(target: SelfTestTarget, password: str) -> list[CheckResult]:
    me = target.selftest_address
    with SmtpSession(target, 465, implicit_tls=True) as session:
        session.hello()
        session.sign_in(me, password)
        session.command(f"MAIL FROM:<{me}>")
        session.command(f"RCPT TO:<{me}>")
        forged = session.data(_message(target, f"ceo@{target.hostname}", "forged"))
    with SmtpSession(target, 465, implicit_tls=True) as session:
        session.hello()
        session.sign_in(me, password)
        session.command(f"MAIL FROM:<{me}>")
        limit = target.recipients_per_message
        codes = [session.command(f"RCPT TO:<{me}>").code for _ in range(limit + 1)]
    return [
        row("from_bound_to_mailbox", ok=500 <= forged.code <= 599, evidence=str(forged)),
        row(
            "recipient_limit",
            ok=codes[:limit] == [250] * limit and codes[limit] == 452,
            evidence=f"{codes.count(250)} recipients accepted, then {codes[-1]}",
        ),
    ]


def _message(target: SelfTestTarget, sender: str, subject: str, message_id: str | None = None) -> bytes:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = target.selftest_address
    message["Subject"] = f"Self-test: {subject}"
    message["Date"] = email.utils.format_datetime(target.clock.now())
    message["Message-ID"] = message_id or f"<{secrets.token_hex(12)}@self-test.invalid>"
    message["User-Agent"] = "self-test"
    message["X-Originating-IP"] = "[192.0.2.1]"
    message.set_content("This message proves that mail flows.\n.\nThe line above is a single dot.\n")
    return message.as_bytes()


def delivery(target: SelfTestTarget, password: str) -> list[CheckResult]:
    """One message by submission, one from outside; both are read by IMAP and looked at."""
    submitted, outside = (f"<{secrets.token_hex(12)}@self-test.invalid>" for _ in range(2))
    me = target.selftest_address
    with SmtpSession(target, 465, implicit_tls=True) as session:
        session.hello()
        session.sign_in(me, password)
        session.command(f"MAIL FROM:<{me}>")
        session.command(f"RCPT TO:<{me}>")
        sent = session.data(_message(target, me, "submission", submitted))
    with SmtpSession(target, 25) as session:
        session.hello()
        session.start_tls()
        session.hello()
        session.command("MAIL FROM:<>")
        session.command(f"RCPT TO:<{me}>")
        received = session.data(_message(target, "outside@self-test.invalid", "inbound", outside))
    started = time.monotonic()
    found = _fetch(target, password, (submitted, outside))
    seconds = time.monotonic() - started
    rows = [
        row("imap_login", ok=True, evidence="signed in on 993 behind TLS"),
        row(
            "mail_delivered",
            ok=submitted in found,
            evidence=f"submission: {sent}; read after {seconds:.1f} s: {submitted in found}",
        ),
        row(
            "mail_received",
            ok=b"Authentication-Results: " + target.hostname.encode() in found.get(outside, b""),
            evidence=f"port 25: {received}; read with our verdict: {outside in found}",
        ),
    ]
    return rows + _signatures(target, found.get(submitted, b"")) + _privacy(found.get(submitted, b""))


def _fetch(target: SelfTestTarget, password: str, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Messages by Message-ID, waited for; what was read is deleted."""
    found: dict[str, bytes] = {}
    session = ImapSession(target)
    with contextlib.closing(_Closing(session)):
        session.login(target.selftest_address, password)
        ends = time.monotonic() + target.delivery_seconds
        while len(found) < len(wanted) and time.monotonic() < ends:
            session.select("INBOX")
            for message_id in set(wanted) - set(found):
                _, numbers = session.search(None, "HEADER", "Message-ID", message_id)
                if numbers and numbers[0]:
                    number = numbers[0].split()[-1].decode()
                    _, parts = session.fetch(number, "(BODY[])")
                    if isinstance(parts[0], tuple):
                        found[message_id] = parts[0][1]
            if len(found) < len(wanted):
                time.sleep(0.1)
        session.select("INBOX")
        session.store("1:*", "+FLAGS", "\\Deleted")
        session.expunge()
    return found


class _Closing:
    def __init__(self, session: ImapSession) -> None:
        self._session = session

    def close(self) -> None:
        with contextlib.suppress(OSError, ImapSession.error):
            self._session.logout()


def _signatures(target: SelfTestTarget, message: bytes) -> list[CheckResult]:
    keys = {(key.domain, key.selector): key.public_key_b64 for key in target.facts.dkim}
    verdicts = dkim.verify(message, keys)
    good = {verdict.algorithm for verdict in verdicts if verdict.ok and verdict.domain == target.hostname}
    said = "; ".join(f"{v.algorithm} d={v.domain} s={v.selector} {v.reason or 'verifies'}" for v in verdicts)
    return [
        row("dkim_signed_twice", ok=good == {"rsa-sha256", "ed25519-sha256"}, evidence=said or "no signature")
    ]


def _privacy(message: bytes) -> list[CheckResult]:
    parsed = email.message_from_bytes(message)
    leaked = [name for name in ("User-Agent", "X-Originating-IP", "X-Mailer") if parsed[name]]
    hops = [hop for hop in parsed.get_all("Received", []) if " with LMTP" not in hop]
    return [
        row(
            "sender_privacy",
            ok=bool(message) and not leaked and not hops,
            evidence=f"left in the message: {leaked or 'nothing'}; other Received lines: {len(hops)}",
        )
    ]
