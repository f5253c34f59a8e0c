"""Associated data as a length-prefixed list: no two different lists give the same bytes."""

from __future__ import annotations

import struct


def encode(*fields: str | int) -> bytes:
    """Each field as a 32-bit big-endian length and its bytes; numbers as 8 bytes, big-endian."""
    parts: list[bytes] = []
    for field in fields:
        raw = struct.pack(">Q", field) if isinstance(field, int) else field.encode()
        parts.append(struct.pack(">I", len(raw)) + raw)
    return b"".join(parts)
