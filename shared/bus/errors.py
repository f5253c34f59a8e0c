"""How a handler says what should become of a message it could not carry out."""

from __future__ import annotations


class Transient(Exception):
    """Worth trying again at once: three tries in process within five seconds, then redelivery."""


class Permanent(Exception):
    """Trying again cannot help: the message is parked at once."""
