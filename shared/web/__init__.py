"""The HTTP side of a service."""

from shared.web.access import IdentityDep, OptionalIdentityDep, internal, public, requires, signed_in
from shared.web.app import build_app
from shared.web.idempotency import Idempotency, IdempotencyDep, SteppedIdempotency, SteppedIdempotencyDep
from shared.web.pagination import Page, PageDep, PageRequest
from shared.web.session import DatabaseDep, ResourcesDep, SessionDep
from shared.web.sse import EventStream, LastEventIdDep, ServerSentEvent, event_stream

__all__ = [
    "DatabaseDep",
    "EventStream",
    "Idempotency",
    "IdempotencyDep",
    "IdentityDep",
    "LastEventIdDep",
    "OptionalIdentityDep",
    "Page",
    "PageDep",
    "PageRequest",
    "ResourcesDep",
    "ServerSentEvent",
    "SessionDep",
    "SteppedIdempotency",
    "SteppedIdempotencyDep",
    "build_app",
    "event_stream",
    "internal",
    "public",
    "requires",
    "signed_in",
]
