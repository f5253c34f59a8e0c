"""The synchronous calls between services, as data. One that is not listed here is refused on both sides.

The gateway may call every service's public routes and is not listed for those.
"""

from __future__ import annotations

from typing import NamedTuple


class Call(NamedTuple):
    caller: str
    callee: str
    method: str
    path: str


CALLS: frozenset[Call] = frozenset(
    {
        Call("gateway", "auth", "GET", "/internal/memberships"),
        Call("gateway", "auth", "POST", "/internal/introspect"),
        Call("provisioner", "vault", "PUT", "/internal/mailboxes/{mailbox_id}"),
        Call("provisioner", "vault", "PUT", "/internal/servers/{server_id}/webmail-key"),
        Call("dns", "vault", "GET", "/internal/provider-tokens/{token_id}"),
    }
)
