"""The sending side: finds the MX, speaks SMTP from the outside host's own address, TLS when offered and unverified.

That is what a plain mail host does: opportunistic TLS (RFC 7435), no DANE, no MTA-STS.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.outside.sockets import socket_in

TIMEOUT_SECONDS = 20.0


@dataclass
class Attempt:
    """What became of one message: `outcome` is delivered, refused (5yz) or deferred (4yz, no connection)."""

    outcome: str = "deferred"
    code: int | None = None
    answer: str = ""
    relay: str = ""
    tls: str | None = None
    dialogue: list[str] = field(default_factory=list)


class _Client(smtplib.SMTP):
    """smtplib over a socket of the namespace, bound to our address, writing down what is said."""

    def __init__(self, namespace: Path, source: str, dialogue: list[str], hostname: str) -> None:
        self._namespace = namespace
        self._source = source
        self._dialogue = dialogue
        super().__init__(local_hostname=hostname, timeout=TIMEOUT_SECONDS)
        self._host = source  # smtplib names it in the TLS handshake, and we verify no name

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket_in(self._namespace, family)
        made.settimeout(timeout)
        try:
            made.bind((self._source, 0))
            made.connect((host, port))
        except OSError:
            made.close()
            raise
        return made

    def putcmd(self, cmd: str, args: str = "") -> None:
        self._dialogue.append(f"C: {cmd} {args}".rstrip())
        super().putcmd(cmd, args)

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()
        self._dialogue += [f"S: {code} {line}" for line in text.decode(errors="replace").splitlines() or [""]]
        return code, text


def deliver(
    *,
    namespace: Path,
    hostname: str,
    sources: Sequence[str],
    relays: Sequence[tuple[str, str]],
    sender: str,
    recipient: str,
    content: bytes,
) -> Attempt:
    """Try the `relays` (name, address) in order until one takes or refuses the message. Blocking.

    `sources` are our addresses, one per family.
    """
    attempt = Attempt(answer="no mail server has an address that we can reach")
    for name, address in relays:
        source = next((each for each in sources if (":" in each) == (":" in address)), None)
        if source is None:
            continue
        attempt.relay = f"{name}[{address}]"
        attempt.dialogue.append(f"*: connecting to {attempt.relay} from {source}")
        try:
            _one(attempt, namespace, hostname, source, address, sender, recipient, content)
        except smtplib.SMTPResponseException as error:
            _answered(attempt, error.smtp_code, error.smtp_error)
        except smtplib.SMTPRecipientsRefused as error:
            _answered(attempt, *error.recipients[recipient])
        except (OSError, smtplib.SMTPException) as error:
            attempt.outcome, attempt.answer = "deferred", f"{type(error).__name__}: {error}"
            attempt.dialogue.append(f"*: {attempt.answer}")
        if attempt.outcome != "deferred":
            break
    return attempt


def _one(
    attempt: Attempt,
    namespace: Path,
    hostname: str,
    source: str,
    address: str,
    sender: str,
    recipient: str,
    content: bytes,
) -> None:
    client = _Client(namespace, source, attempt.dialogue, hostname)
    try:
        client.connect(address, 25)
        client.ehlo_or_helo_if_needed()
        if client.has_extn("starttls"):
            client.starttls(context=_unverified())
            attempt.tls = _version(client.sock)
            client.ehlo()
        refused: dict[str, Any] = client.sendmail(sender, [recipient], content)
        assert not refused
        attempt.outcome, attempt.code, attempt.answer = "delivered", 250, "taken"
        with contextlib.suppress(smtplib.SMTPException):
            client.quit()
    finally:
        client.close()


def _answered(attempt: Attempt, code: int, text: bytes | str) -> None:
    attempt.code = code
    attempt.answer = text.decode(errors="replace") if isinstance(text, bytes) else text
    attempt.outcome = "refused" if 500 <= code <= 599 else "deferred"


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _version(connection: socket.socket | None) -> str | None:
    return connection.version() if isinstance(connection, ssl.SSLSocket) else None
