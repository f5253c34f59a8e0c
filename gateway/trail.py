"""What became known of a request on its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.authorize import Principal
from gateway.proxy import Exchange
from gateway.rate_limit import Verdict
from gateway.routes import Route


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
    client_ip: str | None = None
    exchange: Exchange | None = None
    """Once it was forwarded."""
    suspicion: tuple[str, ...] = ()
    """Names of the signatures found."""
    judged: bool = False
    """What the sender is due for this has been counted already, or he was refused for what he did before."""
    extra: list[tuple[bytes, bytes]] = field(default_factory=list)
