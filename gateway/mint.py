"""What the gateway says of a caller to a service: signed for that service alone, used again for half a minute."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.authorize import Principal
from gateway.routes import Route, RouteTable
from shared.identity import Signer, mint_internal

REUSE_SECONDS: Final = 30.0
MAX_REMEMBERED: Final = 50_000


class Minter:
    """The tokens carry no request id, since they outlive a request; that goes in `X-Request-Id` beside them."""

    def __init__(
        self, signer: Signer, table: RouteTable, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._signer = signer
        self._table = table
        self._monotonic = monotonic
        self._made: OrderedDict[tuple[object, ...], tuple[float, bytes]] = OrderedDict()

    def token(
        self,
        route: Route,
        principal: Principal | None,
        workspace_id: str | None,
        role: str | None,
        client_ip: str | None,
    ) -> bytes:
        """The value of `X-SC-Identity`. Without a principal the gateway speaks for itself and says where from."""
        key = (route.service, principal, workspace_id, role, client_ip)
        now = self._monotonic()
        known = self._made.get(key)
        if known is not None and known[0] > now:
            return known[1]
        if principal is None or route.access == "public":
            token = mint_internal(
                self._signer, route.service, subject=self._signer.issuer, client_ip=client_ip
            )
        else:
            token = self._vouch(route, principal, workspace_id, role, client_ip)
        value = token.encode()
        self._made[key] = (now + REUSE_SECONDS, value)
        if len(self._made) > MAX_REMEMBERED:
            self._made.popitem(last=False)
        return value

    def _vouch(
        self,
        route: Route,
        principal: Principal,
        workspace_id: str | None,
        role: str | None,
        client_ip: str | None,
    ) -> str:
        scopes = principal.scopes if principal.kind == "api_key" else None
        permissions = self._table.permissions_for(role, scopes) if role else frozenset()
        return mint_internal(
            self._signer,
            route.service,
            subject=principal.subject,
            kind=principal.kind,
            workspace_id=workspace_id if _belongs(principal, workspace_id, role) else None,
            role=role,
            permissions=permissions,
            scopes=principal.scopes,
            session_id=principal.session_id,
            key_id=principal.key_id,
            maker=principal.account_id if principal.kind == "api_key" else None,
            auth_time=principal.authenticated_at,
            client_ip=client_ip,
        )


def _belongs(principal: Principal, workspace_id: str | None, role: str | None) -> bool:
    """Whether the authority puts the principal there. The services' row security shows what this token names, so
    it is never taken from the path alone: should the decision ever err, there are no rows to be had."""
    if role is None:
        return False
    return principal.kind == "user" or principal.workspace_id == workspace_id
