"""What a step says after it has looked, and perhaps done one thing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Done:
    """The aspect is as wished. `evidence` is what was seen."""

    message: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wait:
    """Not yet, and nothing is wrong. `after` seconds it is worth another look; 0 means that something was done and
    the next pass should come at once. `reason` is one CamelCase word."""

    after: float
    reason: str
    message: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Retry:
    """Something failed that may pass. `error_class` chooses the backoff; `after` overrides it."""

    error_class: str
    detail: str
    message: str = ""
    after: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Fatal:
    """Going on as before cannot help: a person has to know. Still tried again, every `after` seconds."""

    reason: str
    message: str
    next_action: str = ""
    after: float = 300.0
    evidence: dict[str, Any] = field(default_factory=dict)


STOPS = frozenset({"AddressesRefused", "OutOfStock", "QuotaExceeded"})
"""Reasons of a Fatal that nobody knows the end of. Before the server was ever Ready the customer may wait, unbilled, or
have the payment refunded."""
WAIT_OR_REFUND = (
    "Wait, and nothing is charged meanwhile; or have the payment refunded, which ends the subscription."
)

Outcome = Done | Wait | Retry | Fatal
