"""One row of an export, before it has a format.

Ports are those of implicit TLS (RFC 8314 section 3.3).
"""

from __future__ import annotations

from typing import NamedTuple

SMTP_PORT = 465
IMAP_PORT = 993


class Credential(NamedTuple):
    """The fields are the placeholders of `formats/`."""

    address: str
    display_name: str
    from_name: str
    first_name: str
    last_name: str
    domain: str
    hostname: str
    smtp_port: int
    imap_port: int
    password: str

    def __repr__(self) -> str:
        return f"Credential({self.address})"


TEXTS = ("address", "display_name", "from_name", "first_name", "last_name", "domain", "hostname")
"""What people or their domains have chosen; no password is altered, whatever it begins with."""
PLACEHOLDERS = frozenset(Credential._fields)


def credential(address: str, display_name: str, hostname: str, password: str) -> Credential:
    local_part, _, domain = address.rpartition("@")
    name = display_name.strip()
    first_name, _, last_name = name.partition(" ")
    return Credential(
        address, display_name, name or local_part, first_name, last_name.strip(), domain, hostname,
        SMTP_PORT, IMAP_PORT, password,
    )  # fmt: skip
