"""Proof that a workspace controls a zone: by a token of the account that the zone is delegated to, or by a TXT record
that only its owner can publish."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from services.dns.models import Zone
from services.dns.ports import (
    Observer,
    ProviderDenied,
    ProviderFactory,
    ProviderRefused,
    ProviderTokens,
    ProviderZone,
    TokenUnknown,
    ZoneUnknown,
)
from services.dns.zones.schemas import challenge_name


@dataclass(frozen=True, slots=True)
class Proof:
    """`detail` says what is missing. `evidence` is what was seen; never a token."""

    proven: bool
    detail: str
    provider_zone_id: str | None = None
    name_servers: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)


class Prover:
    def __init__(self, tokens: ProviderTokens, factory: ProviderFactory, observer: Observer) -> None:
        self._tokens, self._factory, self._observer = tokens, factory, observer

    async def prove(self, zone: Zone) -> Proof:
        """Raises `ProviderUnreachable`, or `Unavailable` from the vault, when nothing can be said now."""
        return await (self._by_token(zone) if zone.method == "token" else self._by_txt(zone))

    async def _by_token(self, zone: Zone) -> Proof:
        """Anybody can add any name to an account; only the delegation, which makes the zone active there, proves
        control. That the records can be read shows that the token is made for this zone."""
        try:
            token = await self._tokens.token(zone.workspace_id, zone.provider_token_id or "")
            provider = self._factory(token)
            found = await provider.find_zone(zone.name)
            if found is None:
                return Proof(False, f"The token does not reach a zone named {zone.name}.")
            if not found.active:
                return Proof(
                    False, _not_active(found), found.id, found.name_servers, {"status": found.status}
                )
            await provider.list_records(found.id)
        except TokenUnknown as error:
            return Proof(False, str(error))
        except (ProviderDenied, ProviderRefused, ZoneUnknown) as error:
            return Proof(False, error.reason)
        return await self._delegated(zone, found)

    async def _delegated(self, zone: Zone, found: ProviderZone) -> Proof:
        """What the provider says, checked against what the parent zone says, if both name their servers."""
        seen = await self._observer.name_servers(zone.name)
        evidence = {
            "status": found.status,
            "provider": sorted(found.name_servers),
            "delegation": sorted(seen),
        }
        if seen and found.name_servers and not seen & set(found.name_servers):
            detail = (
                f"{zone.name} is delegated to {', '.join(sorted(seen))}, not to the account of the token."
            )
            return Proof(False, detail, found.id, found.name_servers, evidence)
        return Proof(True, "", found.id, tuple(sorted(seen)) or found.name_servers, evidence)

    async def _by_txt(self, zone: Zone) -> Proof:
        """The challenge has to stand at every authoritative server of the zone."""
        servers = tuple(sorted(await self._observer.name_servers(zone.name)))
        if not servers:
            return Proof(False, f"{zone.name} is not a zone of its own in DNS: no name servers were found.")
        name = challenge_name(zone.name)
        sighting = await self._observer.look(zone.name, name, "TXT", lambda values: zone.challenge in values)
        heard = [answer for answer in sighting.answers if answer.error is None]
        holding = [answer for answer in heard if zone.challenge in answer.values]
        evidence = {"servers": len(sighting.answers), "answered": len(heard), "holding": len(holding)}
        silent = {answer.server for answer in sighting.answers} - {answer.server for answer in heard}
        if heard and not silent and len(holding) == len(heard):
            return Proof(True, "", None, servers, evidence)
        detail = (
            sighting.problem
            or f"The TXT record at {name} is served by {len(holding)} of {len(heard)} servers."
        )
        return Proof(False, detail, None, servers, evidence)


def _not_active(zone: ProviderZone) -> str:
    servers = ", ".join(zone.name_servers)
    return f"{zone.name} is not delegated to this account yet" + (
        f"; its name servers are {servers}." if servers else "."
    )
