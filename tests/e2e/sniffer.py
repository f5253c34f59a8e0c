"""Looks at every packet of a network namespace, on all of its interfaces, and says what was said in the clear.

Two rules. No TCP payload may begin like HTTP, AMQP or PostgreSQL. And what is not known to be encrypted is suspect:
each conversation has to begin with TLS or SSH, or to be to a port that is a named exception.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field

ALL_PROTOCOLS = 0x0003  # ETH_P_ALL
PACKET_STATISTICS = 6
SO_RCVBUFFORCE = 33
SOL_PACKET = 263
BUFFER = 128 * 1024 * 1024
LOOPBACK = ("127.0.0.1", "::1")

CLEAR = {
    "HTTP": re.compile(
        rb"(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS|CONNECT) \S+ HTTP/1\.[01]\r\n|HTTP/1\.[01] \d{3}|PRI \* HTTP/2"
    ),
    "AMQP": re.compile(rb"AMQP[\x00-\x03]"),
    # The SSL request is in the clear by nature; none is expected either, since no PostgreSQL listens on TCP.
    "PostgreSQL": re.compile(rb"\x00\x00..(?:\x00\x03\x00\x00user\x00|\x04\xd2\x16\x2f)", re.DOTALL),
}
ENCRYPTED = {"TLS": re.compile(rb"\x16\x03[\x00-\x04]"), "SSH": re.compile(rb"SSH-2\.0-")}


@dataclass(frozen=True)
class Said:
    """One packet's worth of something that should not have been readable."""

    protocol: str
    source: str
    target: str
    beginning: bytes

    def __str__(self) -> str:
        return f"{self.protocol} from {self.source} to {self.target}: {self.beginning[:60]!r}"


@dataclass
class Seen:
    packets: int = 0
    drops: int = 0
    clear: list[Said] = field(default_factory=list)
    begins: Counter[str] = field(default_factory=Counter)
    """How conversations began: TLS, SSH, an exception's name."""
    unknown: list[Said] = field(default_factory=list)


class Sniffer:
    """`exceptions`: TCP port → why what is said there may be readable. `on_loopback` is the same for what goes over
    loopback, where the others do not count."""

    def __init__(self, exceptions: dict[int, str], on_loopback: dict[int, str]) -> None:
        self.seen = Seen()
        self._exceptions = exceptions
        self._on_loopback = on_loopback
        self._known: set[tuple[str, int, str, int]] = set()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sniffer")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> Seen:
        self._over.set()
        self._thread.join()
        _, self.seen.drops = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._socket.close()
        return self.seen

    def _run(self) -> None:
        while True:
            try:
                frame = self._socket.recv(2048)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            self.seen.packets += 1
            self.look(frame)

    def look(self, frame: bytes) -> None:
        """One Ethernet frame; only its beginning has to be there."""
        found = tcp_of(frame)
        if found is None:
            return
        source, source_port, target, target_port, payload = found
        if not payload:
            return
        exceptions = self._on_loopback if target in LOOPBACK else self._exceptions
        excepted = exceptions.get(target_port) or exceptions.get(source_port)
        one, other = f"{source}:{source_port}", f"{target}:{target_port}"
        for protocol, pattern in CLEAR.items():
            if excepted is None and pattern.match(payload):
                self.seen.clear.append(Said(protocol, one, other, payload[:200]))
        ends = sorted([(source, source_port), (target, target_port)])
        conversation = (*ends[0], *ends[1])
        if conversation not in self._known:
            self._known.add(conversation)
            self._begun(Said("?", one, other, payload[:200]), excepted)

    def _begun(self, said: Said, excepted: str | None) -> None:
        kind = next((name for name, form in ENCRYPTED.items() if form.match(said.beginning)), excepted)
        if kind is None:
            self.seen.unknown.append(said)
        else:
            self.seen.begins[kind] += 1


def tcp_of(frame: bytes) -> tuple[str, int, str, int, bytes] | None:
    """(source, port, target, port, payload) of an Ethernet frame with TCP over IPv4 or IPv6, else None."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
        start = 14 + (frame[14] & 0x0F) * 4
        end = 14 + struct.unpack("!H", frame[16:18])[0]
        source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    elif kind == b"\x86\xdd" and frame[20] == socket.IPPROTO_TCP:
        start, end = 54, 54 + struct.unpack("!H", frame[18:20])[0]
        source = socket.inet_ntop(socket.AF_INET6, frame[22:38])
        target = socket.inet_ntop(socket.AF_INET6, frame[38:54])
    else:
        return None
    source_port, target_port = struct.unpack("!HH", frame[start : start + 4])
    # A segment that is cut in parts by the network card later has a length of 0 in its IP header.
    payload = frame[start + (frame[start + 12] >> 4) * 4 : end if end > start else None]
    return source, source_port, target, target_port, payload
