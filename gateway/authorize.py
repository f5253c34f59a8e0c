"""The decision, as one pure function: who asks, what for, in which role, when. No clock, no cache, no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from gateway.routes import ANY_SCOPE, Route

Network = IPv4Network | IPv6Network
Refusal = Literal["unauthenticated", "not_found", "forbidden", "step_up_required"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever has proved something: a person by an access token, or a partner by an API key.

    `account_id` is the person, or the key's maker, whose present role bounds the key. Times are seconds since the
    epoch.
    """

    kind: Literal["user", "api_key"]
    account_id: str
    expires_at: int
    session_id: str | None = None
    authenticated_at: int | None = None
    key_id: str | None = None
    workspace_id: str | None = None
    scopes: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    """Of a key: where it may come from; none means anywhere."""
    maker_role: str | None = None
    """Of a key: its maker's role when the key was introspected. Only believed at that moment."""
    subject: str = field(init=False)
    """Who is meant in logs and counters: the key, or the person."""
    credential_id: str = field(init=False)
    """The session or the key: what ends when it is revoked."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", self.key_id or self.account_id)
        object.__setattr__(self, "credential_id", self.session_id or self.key_id or "")

    def __hash__(self) -> int:
        return hash(self.credential_id)  # quick, and different enough


def comes_from(networks: tuple[Network, ...], client_ip: str | None) -> bool:
    """Whether an address is in one of the networks. Unknown addresses are in none; without networks all pass."""
    if not networks:
        return True
    if client_ip is None:
        return False
    address: IPv4Address | IPv6Address = ip_address(client_ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)


@dataclass(frozen=True, slots=True)
class Decision:
    """`refusal` None lets the request pass. `missing` names the permission or scope that a refusal is about."""

    refusal: Refusal | None = None
    missing: str | None = None


ALLOW = Decision()
NOT_FOUND = Decision("not_found")


def decide(
    route: Route, principal: Principal | None, workspace_id: str | None, role: str | None, now: int
) -> Decision:
    """`workspace_id` is the one in the path, `role` what the principal's account has there (None: nothing).

    Whether a workspace exists is told to nobody outside of it: no role means not found, before all else.
    """
    if route.access == "public":
        return ALLOW
    if principal is None:
        return Decision("unauthenticated")
    if route.access == "signed_in":
        return _fresh(route, principal, now) if principal.kind == "user" else Decision("forbidden")
    if role is None or workspace_id is None:
        return NOT_FOUND
    if principal.kind == "api_key" and principal.workspace_id != workspace_id:
        return NOT_FOUND
    if role not in route.roles:
        return Decision("forbidden", route.permission)
    if principal.kind == "api_key":
        return _scope(route, principal)
    return _fresh(route, principal, now)


def _fresh(route: Route, person: Principal, now: int) -> Decision:
    if route.step_up is not None:
        signed_in = person.authenticated_at
        if signed_in is None or now - signed_in > route.step_up:
            return Decision("step_up_required", route.permission)
    return ALLOW


def _scope(route: Route, key: Principal) -> Decision:
    if route.scope is None:
        return Decision("forbidden")
    if route.scope != ANY_SCOPE and route.scope not in key.scopes:
        return Decision("forbidden", route.scope)
    return ALLOW
