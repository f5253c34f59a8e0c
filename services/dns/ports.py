"""What this service needs from outside, as protocols: a DNS provider, the vault's tokens, the eyes on DNS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from services.dns.records.model import AUTOMATIC_TTL, ActualRecord


@dataclass(frozen=True, slots=True)
class ProviderZone:
    """A zone in an account of the provider. `active`: the parent zone delegates the name to this account."""

    id: str
    name: str
    active: bool
    status: str
    name_servers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordWrite:
    """One record as it is to be. `comment` None leaves the comment of an existing record alone."""

    name: str
    type: str
    value: str
    ttl: int = AUTOMATIC_TTL
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that take effect together or not at all: ids to delete, ids to overwrite, records to add."""

    deletes: tuple[str, ...] = ()
    patches: tuple[tuple[str, RecordWrite], ...] = ()
    posts: tuple[RecordWrite, ...] = ()

    def __len__(self) -> int:
        return len(self.deletes) + len(self.patches) + len(self.posts)


class ProviderError(Exception):
    """The provider did not do it. `reason` may be shown to the zone's owner."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProviderRefused(ProviderError):
    """It will not do this, however often it is asked; nothing was changed. `code` is the provider's own."""

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.code = code


class ProviderDenied(ProviderError):
    """The token is not accepted, or not for this zone."""


class ZoneUnknown(ProviderError):
    """The zone is not in the account any more."""


class ProviderUnreachable(ProviderError):
    """No answer, or a failure of the provider's own: whether a change was made is not known."""

    def __init__(self, reason: str, retry_after: float = 0.2) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class DnsProvider(Protocol):
    """One account, through one token. All methods raise `ProviderError`s."""

    async def verify_token(self) -> bool:
        """Whether the provider knows the token and holds it active."""
        ...

    async def find_zone(self, name: str) -> ProviderZone | None: ...

    async def list_records(self, zone_id: str) -> list[ActualRecord]: ...

    async def apply(self, zone_id: str, batch: Batch) -> list[ActualRecord]:
        """Carries out the batch and returns the records that it wrote, as they now are."""
        ...

    async def dnssec_active(self, zone_id: str) -> bool: ...


class ProviderFactory(Protocol):
    def __call__(self, token: SecretStr) -> DnsProvider: ...


class TokenUnknown(Exception):
    """The vault has no such token for this workspace."""


class ProviderTokens(Protocol):
    async def token(self, workspace_id: str, token_id: str) -> SecretStr:
        """Raises `TokenUnknown`, or a vendor error of shared.http when the vault does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What one address of the name server `server` said about one record set. `values` are normalised; `error` is
    set instead when it said nothing that counts (timeout, SERVFAIL, not authoritative)."""

    server: str
    address: str
    values: frozenset[str] = frozenset()
    authenticated: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """One record set, everywhere it can be asked for: each address of each authoritative server of the zone, and,
    only once they all show what is wanted, the validating resolver."""

    answers: tuple[Answer, ...] = ()
    resolver: Answer | None = None
    problem: str | None = None
    """Why nobody could be asked."""


class Observer(Protocol):
    """The eyes on DNS."""

    async def look(self, zone: str | None, name: str, rdtype: str, wanted: Holds) -> Sighting:
        """`zone` None: find the zone of a reverse name first. The resolver is asked only if `wanted` holds at
        every authoritative server."""
        ...

    async def name_servers(self, zone: str) -> frozenset[str]:
        """The names that the zone is delegated to, by the resolver; empty when there is no such zone."""
        ...

    async def text(self, name: str) -> Sequence[str]:
        """TXT data of a name that is known to exist, by the resolver; empty when there is none."""
        ...


class Holds(Protocol):
    """Whether what a server said is what is wanted."""

    def __call__(self, values: frozenset[str], /) -> bool: ...
