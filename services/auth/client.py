"""Where a request of a person comes from, in the words that he may read later: a kind of device, a network.

Neither the whole User-Agent nor the whole address is kept: enough to recognise one's own, too little to follow
anybody.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header

from shared.web.access import OptionalIdentityDep

# The first word that is found names the family: most browsers claim to be others as well.
_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
    ("python", "Python"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Client:
    """`ip` is what nginx saw; None when nobody said."""

    ip: str | None = None
    device: str = "an unknown program"

    @property
    def network(self) -> str:
        """The /24 (IPv4) or /48 (IPv6) of the address."""
        try:
            address = ipaddress.ip_address(self.ip or "")
        except ValueError:
            return "an unknown network"
        return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))


def device_of(user_agent: str | None) -> str:
    """`Firefox on Linux`, `curl`, `an unknown program`."""
    text = user_agent or ""
    program = next((name for word, name in _PROGRAMS if word in text), "an unknown program")
    system = next((name for word, name in _SYSTEMS if word in text), None)
    return f"{program} on {system}" if system else program


async def _client(
    identity: OptionalIdentityDep,
    user_agent: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Client:
    return Client(identity.client_ip if identity else None, device_of(user_agent))


ClientDep = Annotated[Client, Depends(_client)]
