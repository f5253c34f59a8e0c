"""The receiving side: an SMTP server (RFC 5321) for one domain, with STARTTLS (RFC 3207), strict about line ends.

Takes mail for every mailbox of the domain but ``nobody`` and addresses beginning with ``unknown``, which it refuses
with 550 5.1.1; ``full`` answers 452 4.2.2 for ever.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger()
COMMAND_MAX = 512
MESSAGE_MAX = 10 * 1024 * 1024
RECIPIENTS_MAX = 100
IDLE_SECONDS = 300.0
_PATH = re.compile(r"^(FROM|TO):\s*<([^<>\s]*)>((?:\s+\S+)*)$", re.IGNORECASE)
_MAILBOX = re.compile(r"^[^@\s]+@[^@\s]+$")


@dataclass
class Envelope:
    """One message as it came: `peer` address, EHLO name, whether under TLS, envelope and content (CRLF)."""

    peer: str
    helo: str
    tls: str | None
    sender: str
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""


class _Quit(Exception):
    """The session ends after the answer that was given."""


class Receiver:
    """Hands each accepted message to `deliver`."""

    def __init__(
        self, hostname: str, domain: str, trust: ssl.SSLContext, deliver: Callable[[Envelope], None]
    ) -> None:
        self.hostname = hostname
        self.domain = domain
        self._tls = trust
        self._deliver = deliver

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from greeting to QUIT."""
        session = _Session(self, self._tls, reader, writer)
        try:
            await asyncio.wait_for(session.run(self._deliver), IDLE_SECONDS)
        except _Quit:
            pass
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            log.info("smtp session broken off", peer=session.peer, reason=type(error).__name__)
        finally:
            writer.close()


class _Session:
    def __init__(
        self,
        server: Receiver,
        tls: ssl.SSLContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server = server
        self._tls = tls
        self._reader = reader
        self._writer = writer
        self.peer = str(writer.get_extra_info("peername")[0])
        self._helo = ""
        self._secured: str | None = None
        self._mail: Envelope | None = None

    async def run(self, deliver: Callable[[Envelope], None]) -> None:
        await self._say(220, f"{self._server.hostname} ESMTP")
        while True:
            line = await self._command()
            if line is None:
                continue
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO" | "HELO":
                    await self._hello(verb.upper(), rest.strip())
                case "STARTTLS":
                    await self._starttls()
                case "MAIL":
                    await self._from(rest.strip())
                case "RCPT":
                    await self._to(rest.strip())
                case "DATA":
                    await self._data(deliver)
                case "RSET":
                    self._mail = None
                    await self._say(250, "2.0.0 Ok")
                case "NOOP":
                    await self._say(250, "2.0.0 Ok")
                case "VRFY":
                    await self._say(252, "2.0.0 Send some mail, I will try my best")
                case "QUIT":
                    await self._say(221, "2.0.0 Bye")
                    raise _Quit
                case _:
                    await self._say(500, "5.5.2 Command not known")

    async def _command(self) -> str | None:
        """The next command, None when it was refused: too long, or a line that CR LF does not end."""
        raw = await self._reader.readline()
        if not raw:
            raise _Quit
        if len(raw) > COMMAND_MAX:
            await self._say(500, "5.5.2 Line too long")
            return None
        if not raw.endswith(b"\r\n"):
            await self._say(500, "5.5.2 Lines end with CR LF")
            raise _Quit
        return raw[:-2].decode("ascii", errors="replace")

    async def _hello(self, verb: str, name: str) -> None:
        if not name:
            await self._say(501, "5.5.4 A name is needed")
            return
        self._helo, self._mail = name, None
        if verb == "HELO":
            await self._say(250, self._server.hostname)
            return
        lines = [
            self._server.hostname,
            "PIPELINING",
            f"SIZE {MESSAGE_MAX}",
            "8BITMIME",
            "ENHANCEDSTATUSCODES",
        ]
        if self._secured is None:
            lines.append("STARTTLS")
        for line in lines[:-1]:
            self._writer.write(f"250-{line}\r\n".encode())
        await self._say(250, lines[-1])

    async def _starttls(self) -> None:
        if self._secured is not None:
            await self._say(503, "5.5.1 TLS is active")
            return
        if self._reader_has_more():
            # Commands sent before the handshake must not be taken as if they came under TLS (CVE-2011-0411).
            await self._say(554, "5.5.1 Nothing may follow STARTTLS")
            raise _Quit
        await self._say(220, "2.0.0 Ready to start TLS")
        await self._writer.start_tls(self._tls)
        cipher = self._writer.get_extra_info("cipher")
        self._secured = f"{cipher[1]} {cipher[0]}"
        self._helo, self._mail = "", None

    def _reader_has_more(self) -> bool:
        return bool(getattr(self._reader, "_buffer", b""))

    async def _from(self, rest: str) -> None:
        match = _PATH.match(rest)
        if match is None or match[1].upper() != "FROM":
            await self._say(501, "5.5.4 Syntax: MAIL FROM:<address>")
        elif not self._helo:
            await self._say(503, "5.5.1 Send EHLO first")
        elif self._mail is not None:
            await self._say(503, "5.5.1 Sender was given already")
        elif match[2] and not _MAILBOX.match(match[2]):
            await self._say(553, "5.1.7 Sender's address is not one")
        else:
            size = re.search(r"SIZE=(\d+)", match[3], re.IGNORECASE)
            if size and int(size[1]) > MESSAGE_MAX:
                await self._say(552, "5.3.4 Message is too large")
                return
            self._mail = Envelope(self.peer, self._helo, self._secured, match[2])
            await self._say(250, "2.1.0 Ok")

    async def _to(self, rest: str) -> None:
        match = _PATH.match(rest)
        if self._mail is None:
            await self._say(503, "5.5.1 Send MAIL first")
            return
        if match is None or match[1].upper() != "TO" or not _MAILBOX.match(match[2]):
            await self._say(501, "5.5.4 Syntax: RCPT TO:<address>")
            return
        local, _, domain = match[2].rpartition("@")
        if domain.lower() != self._server.domain:
            await self._say(554, f"5.7.1 <{match[2]}>: Relay access denied")
        elif local.lower() == "nobody" or local.lower().startswith("unknown"):
            await self._say(550, f"5.1.1 <{match[2]}>: Recipient address rejected: User unknown")
        elif local.lower() == "full":
            await self._say(452, f"4.2.2 <{match[2]}>: Mailbox is full")
        elif len(self._mail.recipients) >= RECIPIENTS_MAX:
            await self._say(452, "4.5.3 Too many recipients")
        else:
            self._mail.recipients.append(match[2].lower())
            await self._say(250, "2.1.5 Ok")

    async def _data(self, deliver: Callable[[Envelope], None]) -> None:
        mail = self._mail
        if mail is None or not mail.recipients:
            await self._say(503, "5.5.1 Send RCPT first")
            return
        await self._say(354, "End data with <CR><LF>.<CR><LF>")
        content, refusal = await self._content()
        self._mail = None
        if refusal is not None:
            await self._say(*refusal)
            return
        mail.content = content
        deliver(mail)
        await self._say(250, "2.0.0 Ok: kept")

    async def _content(self) -> tuple[bytes, tuple[int, str] | None]:
        """The message without dot stuffing (RFC 5321 4.5.2), or why it is refused; always read to its end."""
        lines: list[bytes] = []
        size, refusal = 0, None
        while True:
            line = await self._reader.readline()
            if not line:
                raise _Quit
            if line == b".\r\n":
                return b"".join(lines), refusal
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                refusal = (554, "5.6.0 Lines end with CR LF and hold neither alone")
            size += len(line)
            if size > MESSAGE_MAX:
                refusal = (552, "5.3.4 Message is too large")
                lines.clear()
                continue
            lines.append(line[1:] if line.startswith(b".") else line)

    async def _say(self, code: int, text: str) -> None:
        self._writer.write(f"{code} {text}\r\n".encode())
        await self._writer.drain()
