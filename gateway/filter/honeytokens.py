"""Things that nobody has a use for who means no harm: touching one tells who he is.

The key below opens nothing. It lies in docs/request-filter.md and wherever an operator leaves copies of it or of
others of his own (`SC_HONEYTOKEN_DIGESTS_FILE`: SHA-256, hex). The paths belong to other software; nginx passes exactly
these on to the gateway, and the answer is that of any unknown path.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

PUBLISHED: Final = frozenset({"1e23b7f070b4827552467355efa289ebefb772d452f32d12a3829ecc195d0efc"})
TRAPS: Final = re.compile(
    rb"/(v1/)?(\.env|\.git/(config|HEAD)|\.aws/credentials|\.ssh/id_rsa|wp-login\.php|wp-admin/?|xmlrpc\.php|phpmyadmin/?"
    rb"|phpinfo\.php|actuator/env|server-status|id_rsa|backup\.sql|\.htpasswd|vendor/phpunit/[a-z/.-]*)",
    re.IGNORECASE,
)


class Honeytokens:
    """Knows the keys by digest only."""

    def __init__(self, file: Path | None = None) -> None:
        own = file.read_text("ascii").lower().split() if file is not None else ()
        self._digests = PUBLISHED.union(own)

    def is_key(self, credential: bytes) -> bool:
        return hashlib.sha256(credential).hexdigest() in self._digests


def is_trap(raw_path: bytes) -> bool:
    return TRAPS.fullmatch(raw_path) is not None
