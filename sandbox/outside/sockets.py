"""Sockets that belong to a network namespace while the process stays outside of it.

A socket belongs to the namespace in which it was made, whatever its owner does afterwards (network_namespaces(7)), so
a short-lived thread enters the namespace, makes the socket and ends.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from pathlib import Path

_CLONE_NEWNET = 0x40000000


def socket_in(namespace: Path, family: socket.AddressFamily) -> socket.socket:
    """A new TCP socket in the namespace at this path (``/run/netns/…``). Raises OSError."""
    made: list[socket.socket] = []
    failed: list[OSError] = []

    def enter() -> None:
        try:
            with namespace.open("rb") as file:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(file.fileno(), _CLONE_NEWNET) != 0:
                    error = ctypes.get_errno()
                    raise OSError(error, os.strerror(error), str(namespace))
            made.append(socket.socket(family, socket.SOCK_STREAM))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=enter, name="socket-in-namespace")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def listen_in(namespace: Path, address: str, port: int) -> socket.socket:
    """A listening socket in the namespace, IPv6 for IPv6 only. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket_in(namespace, family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, port))
    listener.listen(64)
    listener.setblocking(False)
    return listener
