"""What the service needs from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """One DNS answer: `rcode` as its mnemonic (NOERROR, NXDOMAIN, SERVFAIL, REFUSED, …), the data as text."""

    rcode: str
    records: tuple[str, ...] = field(default=())


class NoAnswer(Exception):
    """Nobody answered in time."""


class Resolver(Protocol):
    async def query(self, name: str, record_type: str) -> Answer:
        """Asks for `record_type` (A, TXT) of the absolute `name`. Raises `NoAnswer`."""
        ...
