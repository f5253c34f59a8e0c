"""What the gateway process is told."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from shared.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """The gateway keeps nothing: it has no database. Its own key signs what it says of callers."""

    service: str = "gateway"
    role: Literal["api", "worker"] = "api"
    database_url: SecretStr = SecretStr("")
    identity_key_file: Path

    permissions_file: Path = Path(__file__).with_name("permissions.toml")

    max_body_bytes: int = 1024 * 1024
    body_seconds: float = 30.0
    """In which a JSON body has to arrive; it is read whole before it goes on."""
    max_held_bytes: int = 64 * 1024 * 1024
    """Of all bodies that are being read at once."""
    max_response_bytes: int = 64 * 1024 * 1024
    """Of one answer that is not a stream."""

    connect_seconds: float = 2.0
    first_byte_seconds: float = 30.0
    idle_seconds: float = 60.0
    """Longest silence within a body; streams send a comment every ten seconds."""
    total_seconds: float = 120.0
    """Longest answer that is not a stream."""
    connections_per_service: int = 256

    key_refresh_seconds: float = 10.0
    """How often auth is asked which keys sign access tokens. A new key is published that long before it signs."""

    silence_seconds: float = 4.5
    """After so long without a heartbeat the gateway no longer trusts what it remembers of memberships."""

    rate_limit_signed_in: int = 600
    """Cost units per minute of one account or API key."""
    streams_per_caller: int = 16
    rate_limit_public: int = 300
    """Cost units per minute of one network address, for routes without sign-in and for failed sign-ins."""

    filter_action: Literal["observe", "enforce"] = "enforce"
    """Whether senders meet what they are due (delay, 429, 403), or are only told about."""
    block_seconds: float = 900.0
    honeytoken_digests_file: Path | None = None
    """SHA-256 (hex, one a line) of keys that an operator has laid out beside the published one."""
    threat_amqp_url: SecretStr | None = None
    """The broker as the user who may tell of threats and do nothing else; without it they are only counted."""
    threat_seconds: float = 5.0
    """Between two rounds in which threats are told."""
