"""Associated data as a length-prefixed list: no two different lists give the same bytes."""

from __future__ import annotations

import struct

_LENGTH = struct.Struct(">I").pack
_NUMBER = struct.Struct(">Q").pack


def encode(*fields: str | int) -> bytes:
    """Each field as a 32-bit big-endian length and its bytes; numbers as 8 bytes, big-endian."""
    encoded = b""
    for field in fields:
        raw = field.encode() if isinstance(field, str) else _NUMBER(field)
        encoded += length(raw) + raw
    return encoded


def length(raw: bytes) -> bytes:
    """What stands before each field."""
    return _LENGTH(len(raw))
