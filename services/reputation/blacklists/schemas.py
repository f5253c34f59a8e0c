from __future__ import annotations

from pydantic import BaseModel


class BlacklistView(BaseModel):
    """One list as shown. `enabled` is false when it needs an account key that is not there."""

    name: str
    zone: str
    tier: int
    ipv4: bool
    ipv6: bool
    enabled: bool
    codes: dict[str, str]
    delist_url: str
