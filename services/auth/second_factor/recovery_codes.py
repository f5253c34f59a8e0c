"""Recovery codes: ten words of twelve characters that each stand in for the authenticator once.

The first two characters are the code's handle among the ten, so that one try costs one hash and not ten. The other
ten are 50 random bits, stored as argon2id.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Final

COUNT: Final = 10
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_ALIKE: Final = str.maketrans("ILO", "110")
_HANDLE: Final = 2
_LENGTH: Final = 12
_FORM = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}")


@dataclass(frozen=True)
class RecoveryCode:
    handle: str
    secret: str = field(repr=False)

    def text(self) -> str:
        """As it is shown: three groups of four."""
        joined = self.handle + self.secret
        return "-".join(joined[start : start + 4] for start in range(0, _LENGTH, 4))


def new_codes() -> list[RecoveryCode]:
    handles: set[str] = set()
    while len(handles) < COUNT:
        handles.add(_random(_HANDLE))
    return [RecoveryCode(handle, _random(_LENGTH - _HANDLE)) for handle in sorted(handles)]


def parse(text: str) -> RecoveryCode | None:
    """What a person typed, in any case, with or without dashes; None when it cannot be a code."""
    folded = re.sub(r"[\s-]", "", text).upper().translate(_ALIKE)
    return RecoveryCode(folded[:_HANDLE], folded[_HANDLE:]) if _FORM.fullmatch(folded) else None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
