"""Ports that are free on loopback now."""

from __future__ import annotations

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """All are held open together while being chosen, so that no two are equal."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            ports.append(int(held.getsockname()[1]))
        return ports
