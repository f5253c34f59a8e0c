"""Generated passwords that survive every CSV reader and every mail program's settings form."""

from __future__ import annotations

import secrets
import string

from services.vault.secret_bytes import SecretBytes

LENGTH = 26
FIRST = string.ascii_letters + string.digits
ALPHABET = FIRST + "-_"


def generate() -> SecretBytes:
    """26 characters of [A-Za-z0-9_-] (about 155 bits), the first one alphanumeric.

    No quoting, no escaping and no spreadsheet formula can come of it.
    """
    characters = [secrets.choice(FIRST), *(secrets.choice(ALPHABET) for _ in range(LENGTH - 1))]
    return SecretBytes("".join(characters).encode())
