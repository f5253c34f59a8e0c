"""The trace (W3C Trace Context) and the cause that the work at hand belongs to, carried from request to event."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
_causation: ContextVar[str | None] = ContextVar("causation", default=None)


def current_traceparent() -> str | None:
    return _traceparent.get()


def current_causation() -> str | None:
    """The id of the event being handled, if any."""
    return _causation.get()


def new_traceparent() -> str:
    random = os.urandom(24).hex()
    return f"00-{random[:32]}-{random[32:]}-01"


@contextmanager
def trace(traceparent: str | None, causation: str | None = None) -> Iterator[str]:
    """Continues the given trace, or begins one when there is none or it is malformed; binds `trace_id` to logs."""
    own = traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else new_traceparent()
    trace_token, cause_token = _traceparent.set(own), _causation.set(causation)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=own.split("-")[1]):
            yield own
    finally:
        _traceparent.reset(trace_token)
        _causation.reset(cause_token)
