"""What dns's two processes are told. Only the worker can speak to a DNS provider, to the vault and to DNS itself."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import SecretStr, field_validator
from pydantic_settings import NoDecode

from shared.settings import ServiceSettings
from shared.special_use import REFUSED_NETWORKS, SPECIAL_USE_NAMES, parse_networks

TextList = Annotated[tuple[str, ...], NoDecode]


def _split(value: Any) -> Any:
    """A JSON list, or items separated by commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [part.strip() for part in value.split(",") if part.strip()]


class ApiSettings(ServiceSettings):
    platform_zone: str
    """Our own zone: host names lie in it, and no customer can claim it."""

    special_use_names: TextList = SPECIAL_USE_NAMES
    """Names under which no zone can be claimed."""

    plan_refresh_seconds: float = 10.0
    """Reading a plan older than this asks the worker to look at the zone again."""

    _lists = field_validator("special_use_names", mode="before")(_split)


class WorkerSettings(ServiceSettings):
    platform_zone: str
    platform_zone_token: SecretStr
    """Token of the provider's account that holds the platform zone, restricted to editing its records."""

    cloudflare_url: str = "https://api.cloudflare.com/client/v4"
    cloudflare_requests: int = 1000
    """Calls per token in five minutes, and a sixth of it at once. Above 1,200 the vendor blocks the token for five
    minutes; several workers share that, so each gets its part."""

    special_use_names: TextList = SPECIAL_USE_NAMES
    refused_networks: TextList = REFUSED_NETWORKS
    """No name is pointed at an address in these, and no name server in them is asked anything."""

    caa_issuers: TextList = ("letsencrypt.org",)

    dns_port: int = 53
    dns_timeout: float = 1.5
    """Seconds for one try at one server; each is tried twice."""

    poll_seconds: float = 0.2
    lease_seconds: float = 30.0
    pending_seconds: float = 0.5
    """How often a name set that is not yet true is looked at, at first; later up to every 30 s."""
    steady_seconds: float = 300.0
    proof_seconds: float = 5.0
    proof_patience_seconds: float = 7 * 86400.0
    """How long the proof of a zone is tried before it counts as failed."""
    plan_ttl_seconds: float = 1800.0

    _lists = field_validator("special_use_names", "refused_networks", "caa_issuers", mode="before")(_split)

    @field_validator("refused_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(value)
        return value
