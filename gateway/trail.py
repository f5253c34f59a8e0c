"""What became known of a request on its way."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from typing import Final

from gateway.authorize import Principal
from gateway.proxy import Exchange
from gateway.rate_limit import Verdict
from gateway.routes import Route
from shared.ids import uuid7_hex

_noise: Final = random.Random(secrets.randbits(256))  # noqa: S311 (see new_request_id)


def new_request_id() -> str:
    """An id like any other, but its noise is not secret: no call of the system is spent on it."""
    return f"req_{uuid7_hex(randomness=_noise.randbytes(10))}"


def traceparent_of(request_id: str) -> str:
    """Begins a trace (W3C Trace Context) whose id is the request's, so that one finds the other in the logs."""
    digits = request_id[4:]
    return f"00-{digits}-{digits[16:]}-01"


@dataclass(slots=True)
class Trail:
    """For the access line, for the headers of the answer, and for the filter's judgement of the sender."""

    request_id: str
    route: Route | None = None
    principal: Principal | None = None
    workspace_id: str | None = None
    """Of a caller who may: known to be a member or a key of it."""
    asked_workspace: str | None = None
    """As the path says."""
    verdict: Verdict | None = None
    """What the rate limit said of him, for the headers of the answer."""
    client_ip: str | None = None
    exchange: Exchange | None = None
    """Once it was forwarded."""
    suspicion: tuple[str, ...] = ()
    """Names of the signatures found."""
    judged: bool = False
    """What the sender is due for this has been counted already, or he was refused for what he did before."""
