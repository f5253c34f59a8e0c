"""A holder for key material and passwords that never shows itself by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn


class SecretBytes:
    """Bytes that `repr`, `str`, `format`, logging, pickling and copying do not show.

    `reveal()` is the only way to the value, so that a search for it lists every place that looks.
    `wipe()` overwrites this holder's own buffer; copies that callers, the interpreter or a library made
    are out of its reach (the service's README says what that means).
    """

    __slots__ = ("_buffer", "_wiped")

    def __init__(self, value: bytes | bytearray) -> None:
        self._buffer = bytearray(value)
        self._wiped = False

    def reveal(self) -> bytes:
        """The value itself. Raises ValueError after `wipe()`."""
        if self._wiped:
            raise ValueError("this secret was wiped")
        return bytes(self._buffer)

    def wipe(self) -> None:
        """Overwrites the buffer with zeros; `reveal()` fails from now on."""
        self._buffer[:] = bytes(len(self._buffer))  # of the same length, so it is written in place
        self._wiped = True

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self.reveal(), other.reveal())

    __hash__ = None  # type: ignore[assignment]  # a secret is nobody's dictionary key

    def __repr__(self) -> str:
        return "SecretBytes(**********)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled or copied")
