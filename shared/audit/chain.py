"""The hash chain of audit rows: SHA-256 over the row before and this row's fields, each length-prefixed.

Length prefixes make the encoding unambiguous and independent of any JSON or database version. Verifying needs
the rows alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

GENESIS: Final = bytes(32)
FIELDS: Final = (
    "id", "workspace_id", "sequence", "at", "actor_kind", "actor_id", "action", "target", "outcome", "reason", "data",
)  # fmt: skip


def row_hash(previous: bytes, row: Mapping[str, Any]) -> bytes:
    """32 bytes. `row` has the names of FIELDS; a missing reason and an empty one differ."""
    digest = hashlib.sha256(b"sc.audit.v1")
    digest.update(previous)
    for name in FIELDS:
        value = _encode(row[name])
        digest.update((len(value) if value is not None else 0xFFFFFFFF).to_bytes(4, "big"))
        digest.update(value or b"")
    return digest.digest()


def _encode(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").encode()
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
    return str(value).encode()


class Chain:
    """Follows the rows of one workspace, in order, from the first."""

    def __init__(self) -> None:
        self.last_hash = GENESIS
        self.sequence = 0

    def accepts(self, row: Mapping[str, Any]) -> bool:
        """Whether the row follows from the one before; moves on only then."""
        if row["sequence"] != self.sequence + 1 or row["previous_hash"] != self.last_hash:
            return False
        computed = row_hash(self.last_hash, row)
        if row["row_hash"] != computed:
            return False
        self.sequence += 1
        self.last_hash = computed
        return True


def first_break(rows: Iterable[Mapping[str, Any]]) -> int | None:
    """The sequence number of the first row that does not follow from the one before, or None. Rows of one
    workspace, in order, from the first."""
    chain = Chain()
    for row in rows:
        if not chain.accepts(row):
            return chain.sequence + 1
    return None
