"""Zones and their record states as the API takes and shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.dns.models import Zone
from shared.ids import ProviderTokenId


class ZoneRequest(BaseModel):
    """`token`: the vault holds a token of the zone's provider, by this id. `txt`: control is proven by a TXT record,
    and the records are made by hand."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=255)
    method: Literal["token", "txt"]
    provider_token_id: ProviderTokenId | None = None


class ChallengeView(BaseModel):
    """The TXT record that proves control (method txt)."""

    name: str
    type: Literal["TXT"] = "TXT"
    value: str


class ZoneView(BaseModel):
    """`dnssec` null: not known yet. `detail` says why the zone is not proven, or cannot be edited, at the moment."""

    id: str
    name: str
    method: Literal["token", "txt"]
    state: Literal["proving", "proven", "failed"]
    detail: str | None
    dnssec: bool | None
    name_servers: list[str]
    challenge: ChallengeView | None
    created_at: datetime
    proven_at: datetime | None


def zone_view(zone: Zone) -> ZoneView:
    return ZoneView.model_validate(
        {
            "id": zone.id,
            "name": zone.name,
            "method": zone.method,
            "state": zone.state,
            "detail": zone.detail,
            "dnssec": zone.dnssec,
            "name_servers": zone.name_servers,
            "challenge": ChallengeView(name=challenge_name(zone.name), value=zone.challenge)
            if zone.method == "txt"
            else None,
            "created_at": zone.created_at,
            "proven_at": zone.proven_at,
        }
    )


def challenge_name(zone: str) -> str:
    return f"_sendchief-challenge.{zone}"
