"""Mail clients and a browser that reach a host by its address."""

from __future__ import annotations

import http.client
import imaplib
import secrets
import smtplib
import socket
import ssl
import time
import urllib.parse
import urllib.request
from email.message import EmailMessage
from http.cookiejar import CookieJar
from typing import Any

from tests.provisioner.hosts.world import Server


class Submission(smtplib.SMTP_SSL):
    """SMTP over TLS to an address; the certificate is checked against the host's name."""

    def __init__(self, server: Server, trust: ssl.SSLContext) -> None:
        self._name = server.hostname
        super().__init__(server.ipv4, 465, timeout=30, context=trust)

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        self._host = self._name
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
    with Submission(server, trust) as session:
        session.login(sender, password)
        session.send_message(message)
    return str(message["Message-ID"])


def signs_in(server: Server, trust: ssl.SSLContext, user: str, password: str) -> bool:
    with Submission(server, trust) as session:
        try:
            session.login(user, password)
        except smtplib.SMTPAuthenticationError:
            return False
        return True


def read(server: Server, user: str, password: str, message_id: str, seconds: float = 20) -> str:
    """The message with this Message-ID, waited for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
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


SSO = "/?_task=login&_action=sso"


class Browser:
    """Posts to webmail by address with the host's name in TLS and Host."""

    def __init__(self, server: Server, trust: ssl.SSLContext) -> None:
        self.server, self.trust, self.jar = server, trust, CookieJar()

    def request(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
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
        self.jar.extract_cookies(response, fake)
        return response.status, response.getheader("Location") or "", response.read().decode(errors="replace")
