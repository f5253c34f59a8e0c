"""Who is asking: the content of a verified internal token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["user", "api_key", "service"]


@dataclass(frozen=True, slots=True)
class Identity:
    """`subject` is the account, the API key or the service's name; `issuer` is who signed for it.

    `workspace_id` is the workspace that the gateway found the subject to be acting in, or None outside of any.
    `auth_time` is the moment of the sign-in (users only), `maker` the account that made the key (API keys only): what
    it may do hangs on that person's role too.
    """

    kind: Kind
    subject: str
    workspace_id: str | None
    role: str | None
    permissions: frozenset[str]
    scopes: frozenset[str]
    session_id: str | None
    auth_time: datetime | None
    issuer: str
    request_id: str
    client_ip: str | None = None
    key_id: str | None = None
    maker: str | None = None


InternalIdentity = Identity
