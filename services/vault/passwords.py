"""Generated passwords that survive every CSV reader and every mail program's settings form."""

from __future__ import annotations

import secrets
import string

from services.vault.secret_bytes import SecretBytes

LENGTH = 26
SELECTOR = 4
"""What an app password begins with, known to its host, comes on top of the length."""
FIRST = string.ascii_letters + string.digits
ALPHABET = FIRST + "-_"


def generate(length: int = LENGTH) -> SecretBytes:
    """26 characters of [A-Za-z0-9_-] (about 155 bits), the first one alphanumeric.

    No quoting, no escaping and no spreadsheet formula can come of it.
    """
    characters = [secrets.choice(FIRST), *(secrets.choice(ALPHABET) for _ in range(length - 1))]
    return SecretBytes("".join(characters).encode())


def generate_app_password() -> tuple[str, SecretBytes]:
    """(selector, password): 30 characters, of which the first four are no secret to the mailbox's host."""
    password = generate(SELECTOR + LENGTH)
    return password.reveal()[:SELECTOR].decode(), password
