"""Plain clients that show every byte: SMTP line by line, and a TLS hello made by hand.

The TLS library of this machine may be unable to offer what a host has to refuse; a hello made by hand is not.
"""

from __future__ import annotations

import base64
import contextlib
import imaplib
import os
import socket
import ssl
import struct
from types import TracebackType
from typing import Literal, Self

from services.provisioner.hosts.self_test.checks import SelfTestTarget


class SmtpReply(tuple[int, str]):
    """(code, text). Text of several lines is joined with a line feed."""

    __slots__ = ()

    @property
    def code(self) -> int:
        return self[0]

    @property
    def text(self) -> str:
        return self[1]

    def __str__(self) -> str:
        return f"{self[0]} {self[1]}".replace("\n", " | ")


class SmtpSession:
    """One connection to a host by address; names in TLS are the host's name."""

    def __init__(self, target: SelfTestTarget, port: int, *, implicit_tls: bool = False) -> None:
        self._target = target
        self._socket: socket.socket = socket.create_connection((target.ipv4, port), target.timeout_seconds)
        if implicit_tls:
            self._wrap()
        self._file = self._socket.makefile("rb")
        self.banner = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            if kind is None:
                self._socket.sendall(b"QUIT\r\n")
            self._socket.close()

    def _wrap(self) -> None:
        self._socket = self._target.trust().wrap_socket(self._socket, server_hostname=self._target.hostname)

    def reply(self) -> SmtpReply:
        """Raises ConnectionError when the connection ends."""
        lines = []
        while True:
            line = self._file.readline(4096).decode(errors="replace").rstrip("\r\n")
            if not line:
                raise ConnectionError("the server closed the connection")
            lines.append(line[4:])
            if line[3:4] != "-":
                return SmtpReply((int(line[:3]), "\n".join(lines)))

    def command(self, line: str) -> SmtpReply:
        self._socket.sendall(line.encode() + b"\r\n")
        return self.reply()

    def raw(self, content: bytes) -> SmtpReply:
        """Sends the bytes as they are."""
        self._socket.sendall(content)
        return self.reply()

    def hello(self) -> frozenset[str]:
        """EHLO; returns the keywords that the server offers, upper case."""
        reply = self.command("EHLO self-test.invalid")
        return frozenset(line.split()[0].upper() for line in reply.text.splitlines()[1:] if line)

    def start_tls(self) -> SmtpReply:
        reply = self.command("STARTTLS")
        if reply.code == 220:
            self._wrap()
            self._file = self._socket.makefile("rb")
        return reply

    def sign_in(self, user: str, password: str) -> SmtpReply:
        secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        return self.command(f"AUTH PLAIN {secret}")

    def data(self, message: bytes) -> SmtpReply:
        """DATA with the dots doubled (RFC 5321 section 4.5.2)."""
        ready = self.command("DATA")
        if ready.code != 354:
            return ready
        body = message.replace(b"\r\n", b"\n").replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
        self._socket.sendall(body + b"\r\n.\r\n")
        return self.reply()

    def certificate(self) -> bytes:
        """DER of what the server showed."""
        if not isinstance(self._socket, ssl.SSLSocket):
            raise ConnectionError("the connection is not encrypted")
        return self._socket.getpeercert(binary_form=True) or b""


class ImapSession(imaplib.IMAP4):
    """IMAP over TLS on 993, by address, with the host's name verified."""

    def __init__(self, target: SelfTestTarget) -> None:
        self._target = target
        super().__init__(target.ipv4, 993, target.timeout_seconds)

    def open(self, host: str = "", port: int = 993, timeout: float | None = None) -> None:
        plain = socket.create_connection((host, port), timeout)
        self.sock = self._target.trust().wrap_socket(plain, server_hostname=self._target.hostname)
        self.file = self.sock.makefile("rb")


_OLD_CIPHERS = (0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035)
_TLS12_CIPHERS = (0xC02B, 0xC02C, 0xCCA9, 0xC02F, 0xC030, 0xCCA8)
_SHA1_ALGORITHMS = (0x0203, 0x0201)
_GOOD_ALGORITHMS = (0x0403, 0x0503, 0x0804, 0x0401)
_GROUPS = (0x001D, 0x0017, 0x0018)


def _extension(kind: int, content: bytes) -> bytes:
    return struct.pack("!HH", kind, len(content)) + content


def _list16(values: tuple[int, ...]) -> bytes:
    return struct.pack(f"!H{len(values)}H", 2 * len(values), *values)


def client_hello(hostname: str, version: int, *, only_sha1: bool = False) -> bytes:
    """A ClientHello of TLS 1.0 (0x0301), 1.1 or 1.2 with ciphers of that time (RFC 5246 section 7.4.1.2)."""
    name = hostname.encode()
    server_name = struct.pack("!HBH", len(name) + 3, 0, len(name)) + name
    extensions = _extension(0, server_name) + _extension(10, _list16(_GROUPS)) + _extension(11, b"\x01\x00")
    if version >= 0x0303:
        extensions += _extension(13, _list16(_SHA1_ALGORITHMS if only_sha1 else _GOOD_ALGORITHMS))
    ciphers = _TLS12_CIPHERS if version >= 0x0303 else _OLD_CIPHERS
    body = struct.pack("!H", version) + os.urandom(32) + b"\x00" + _list16(ciphers) + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake


Answered = Literal["accepted", "refused"]


def answer_to_hello(target: SelfTestTarget, port: int, hello: bytes) -> Answered:
    """Sends the hello, after STARTTLS where the port speaks SMTP; "accepted" = a ServerHello came back."""
    with socket.create_connection((target.ipv4, port), target.timeout_seconds) as plain:
        if port in (25, 587):
            stream = plain.makefile("rb")
            _expect(stream.readline(), b"220")
            plain.sendall(b"EHLO self-test.invalid\r\n")
            while stream.readline(4096)[3:4] == b"-":
                continue
            plain.sendall(b"STARTTLS\r\n")
            _expect(stream.readline(), b"220")
        plain.sendall(hello)
        try:
            first = plain.recv(1)
        except ConnectionResetError:
            first = b""
    return "accepted" if first == b"\x16" else "refused"


def _expect(line: bytes, code: bytes) -> None:
    if not line.startswith(code):
        raise ConnectionError(f"expected {code.decode()}, got {line.decode(errors='replace').strip()}")
