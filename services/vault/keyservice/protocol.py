"""The key service's wire: one JSON object per frame, a 32-bit big-endian length before it.

    {"operation": "wrap", "context": b64, "key": b64}                        -> {"root_key_id", "wrapped": b64}
    {"operation": "unwrap", "context": b64, "root_key_id", "wrapped": b64}   -> {"key": b64}
    {"operation": "status"}                                                  -> {"primary", "keys": [ids]}
    {"operation": "make", "context": b64}                     -> {"root_key_id", "wrapped": b64, "check_value": b64}
    {"operation": "rewrap", "context": b64, "root_key_id", "wrapped": b64}   -> {"root_key_id", "wrapped": b64}
    {"operation": "rewrap_secrets", "environment", "scope", "old": KEY, "new": KEY, "wraps": [[b64 data, b64 wrap]]}
        with KEY = {"version", "root_key_id", "wrapped": b64}                -> {"wraps": [b64 or null]}

A refusal is {"error": "not_authentic" | "bad_request" | "forbidden"}, and of a KMS behind the key service
{"error": "unavailable" | "denied" | "disabled"}; it never says more.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any

LENGTH = struct.Struct(">I")
LARGEST_FRAME = 512 * 1024
"""Room for the wraps of 500 secrets, three times over."""


class BadFrame(Exception):
    """Too long, not JSON, or not an object."""


def encode_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def decode_bytes(value: Any) -> bytes:
    """Raises BadFrame for anything but base64 text."""
    try:
        return base64.b64decode(value, validate=True)
    except (ValueError, TypeError):
        raise BadFrame("not base64") from None


def encode_frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return LENGTH.pack(len(body)) + body


async def read_body(reader: asyncio.StreamReader, prefix: bytes) -> dict[str, Any]:
    """The object whose length prefix was read already. IncompleteReadError when the peer leaves early."""
    (length,) = LENGTH.unpack(prefix)
    if length > LARGEST_FRAME:
        raise BadFrame("too long")
    try:
        message = json.loads(await reader.readexactly(length))
    except ValueError:
        raise BadFrame("not JSON") from None
    if not isinstance(message, dict):
        raise BadFrame("not an object")
    return message
