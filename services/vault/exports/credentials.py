"""What a file's rows are made of, before they have a format: by column, since what is done for a column at once costs a
row little.

Ports are those of implicit TLS (RFC 8314 section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

SMTP_PORT = 465
IMAP_PORT = 993

Cell = str | int


class Credentials(NamedTuple):
    """Of each row what is stored."""

    address: Sequence[str]
    display_name: Sequence[str]
    hostname: Sequence[str]
    password: Sequence[str]

    def __repr__(self) -> str:
        return f"Credentials({len(self.address)})"


def _from_names(rows: Credentials) -> Sequence[str]:
    named = zip(rows.display_name, rows.address, strict=True)
    return [name.strip() or address.rpartition("@")[0] for name, address in named]


PLACEHOLDERS: Mapping[str, Callable[[Credentials], Sequence[Cell]]] = {
    "address": lambda rows: rows.address,
    "display_name": lambda rows: rows.display_name,
    "from_name": _from_names,
    "first_name": lambda rows: [name.strip().partition(" ")[0] for name in rows.display_name],
    "last_name": lambda rows: [name.strip().partition(" ")[2].strip() for name in rows.display_name],
    "domain": lambda rows: [address.rpartition("@")[2] for address in rows.address],
    "hostname": lambda rows: rows.hostname,
    "smtp_port": lambda rows: [SMTP_PORT] * len(rows.address),
    "imap_port": lambda rows: [IMAP_PORT] * len(rows.address),
    "password": lambda rows: rows.password,
}
"""What the columns of `formats/` may name, and how each is made."""
TEXTS = frozenset({"address", "display_name", "from_name", "first_name", "last_name", "domain", "hostname"})
"""What people or their domains have chosen; no password is altered, whatever it begins with."""
NUMBERS = frozenset({"smtp_port", "imap_port"})
