"""Access to our own zone."""

from __future__ import annotations

from pydantic import SecretStr

from services.dns.ports import DnsProvider, ProviderFactory, ProviderZone, ZoneUnknown


class Platform:
    """The platform zone at its provider. Its id is asked for once."""

    def __init__(self, name: str, token: SecretStr, factory: ProviderFactory) -> None:
        self.name = name
        self._provider: DnsProvider = factory(token)
        self._zone: ProviderZone | None = None

    async def open(self) -> tuple[DnsProvider, ProviderZone]:
        """Raises `ZoneUnknown` when the token does not reach the zone."""
        if self._zone is None:
            zone = await self._provider.find_zone(self.name)
            if zone is None:
                raise ZoneUnknown(f"The token does not reach the platform zone {self.name}.")
            self._zone = zone
        return self._provider, self._zone
