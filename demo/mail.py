"""Mailboxes as their owners use them: authenticated submission with implicit TLS, and IMAP over TLS.

Names are looked up at the sandbox's resolver, certificates are checked against its ACME root; nothing is skipped.
"""

from __future__ import annotations

import asyncio
import imaplib
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import dns.resolver

from demo.world import NeverHappened


@dataclass(frozen=True)
class Mailbox:
    """An address with its password and the host that serves it (465 and 993)."""

    address: str
    password: str = field(repr=False)
    hostname: str


class Post:
    """`resolver` is an address of a DNS resolver, `root_pem` the ACME root that issued the hosts' certificates."""

    def __init__(self, resolver: str, root_pem: str) -> None:
        self._resolver = dns.resolver.Resolver(configure=False)
        self._resolver.nameservers = [resolver]
        self._tls = ssl.create_default_context(cadata=root_pem)

    def _connect(self, hostname: str, port: int) -> ssl.SSLSocket:
        address = self._resolver.resolve(hostname, "A")[0].to_text()
        plain = socket.create_connection((address, port), timeout=15)
        return self._tls.wrap_socket(plain, server_hostname=hostname)

    async def submit(self, sender: Mailbox, recipient: str, subject: str, text: str) -> str:
        """Sends by port 465; returns the Message-ID."""
        return await asyncio.to_thread(self._submit, sender, recipient, subject, text)

    def _submit(self, sender: Mailbox, recipient: str, subject: str, text: str) -> str:
        message = EmailMessage()
        message["From"] = sender.address
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=sender.address.partition("@")[2])
        message.set_content(text)
        client = smtplib.SMTP(timeout=20)
        client.sock = self._connect(sender.hostname, 465)
        client.file = None
        client._host = sender.hostname  # type: ignore[attr-defined]
        client.getreply()
        client.ehlo("laptop.example")
        client.login(sender.address, sender.password)
        client.send_message(message)
        client.quit()
        return str(message["Message-ID"])

    async def read(self, owner: Mailbox, subject: str, seconds: float = 20) -> tuple[EmailMessage, float]:
        """The message with this subject in INBOX and the seconds until it was there."""
        return await asyncio.to_thread(self._read, owner, subject, seconds)

    def _read(self, owner: Mailbox, subject: str, seconds: float) -> tuple[EmailMessage, float]:
        started = time.monotonic()
        with _Imap(self._connect(owner.hostname, 993)) as client:
            client.login(owner.address, owner.password)
            while time.monotonic() - started < seconds:
                client.select("INBOX")
                found = client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
                if found:
                    raw = client.fetch(found[-1], "(RFC822)")[1][0]
                    assert isinstance(raw, tuple)
                    parsed = message_from_bytes(raw[1], policy=policy.default)
                    assert isinstance(parsed, EmailMessage)
                    return parsed, time.monotonic() - started
                time.sleep(0.1)
        raise NeverHappened(
            f"no message with the subject {subject!r} in {owner.address} within {seconds:.0f} s"
        )

    async def signs_in(self, owner: Mailbox) -> bool:
        """Whether the password opens the mailbox by IMAP."""
        try:
            await self.subjects(owner)
        except imaplib.IMAP4.error:
            return False
        return True

    async def subjects(self, owner: Mailbox) -> list[str]:
        """Subjects of all messages in INBOX."""
        return await asyncio.to_thread(self._subjects, owner)

    def _subjects(self, owner: Mailbox) -> list[str]:
        with _Imap(self._connect(owner.hostname, 993)) as client:
            client.login(owner.address, owner.password)
            client.select("INBOX", readonly=True)
            found = client.search(None, "ALL")[1][0].split()
            subjects = []
            for number in found:
                part = client.fetch(number, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1][0]
                assert isinstance(part, tuple)
                subjects.append(str(message_from_bytes(part[1], policy=policy.default)["Subject"]))
            return subjects


class _Imap(imaplib.IMAP4_SSL):
    """imaplib over a socket that was connected and verified before."""

    def __init__(self, connected: ssl.SSLSocket) -> None:
        self._connected = connected
        super().__init__("connected.invalid", 993)

    def _create_socket(self, timeout: float | None) -> ssl.SSLSocket:
        return self._connected
