"""Calls between services: a token that was made for A opens nothing of B's, whichever of the two the caller names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from shared.contracts.calls import CALLS, Call
from tests.isolation import factories
from tests.isolation.world import Customer, World

Asked = tuple[str, dict[str, Any]]
"""The id in the path, and what the body says beside the workspace."""


async def _mailbox(world: World, one: Customer) -> Asked:
    made = await factories.vault.secret_mailbox(world, one)
    return made.id, {name: made.extra[name] for name in ("server_id", "address")}


async def _webmail_key(world: World, one: Customer) -> Asked:
    made = await factories.vault.secret_mailbox(world, one)
    return made.extra["server_id"], {"hostname": made.extra["hostname"]}


async def _provider_token(world: World, one: Customer) -> Asked:
    return (await factories.vault.provider_token(world, one)).id, {}


ASKED: dict[str, Callable[[World, Customer], Awaitable[Asked]]] = {
    "/internal/mailboxes/{mailbox_id}": _mailbox,
    "/internal/servers/{server_id}/webmail-key": _webmail_key,
    "/internal/provider-tokens/{token_id}": _provider_token,
}
OF_ALL = frozenset({"/internal/memberships", "/internal/introspect"})
"""What the gateway asks about everybody, with a token for no workspace."""

OF_WORKSPACES = sorted(call for call in CALLS if call.path not in OF_ALL)


async def check(world: World, call: Call) -> list[str]:
    """What is wrong. B's own token opens it, to show that there is something to be had."""
    if call.path not in ASKED:
        return [f"{call.path}: say in ASKED what the call is about"]
    a, b = factories.customers.customer("A"), factories.customers.customer("B")
    for one in (a, b):
        await factories.customers.admit(world, one)
    thing_id, said = await ASKED[call.path](world, b)
    before = await world.holdings(b)
    for named, wanted in ((b, {403}), (a, {404, 409})):
        status = await _status(world, call, a, thing_id, {**said, "workspace_id": named.workspace_id})
        if status not in wanted:
            return [
                f"a token of A's with {'B' if named is b else 'A'}'s workspace: {status}, expected {wanted}"
            ]
    if await world.holdings(b) != before:
        return ["a call with A's token changed what B has"]
    status = await _status(world, call, b, thing_id, {**said, "workspace_id": b.workspace_id})
    return [] if status == 200 else [f"B's own token: {status}, so the row shows nothing"]


async def _status(world: World, call: Call, caller: Customer, thing_id: str, said: dict[str, Any]) -> int:
    head, _, tail = call.path.partition("{")
    path, body = head + thing_id + tail.partition("}")[2], said
    if call.method == "GET":
        path, body = f"{path}?workspace_id={said['workspace_id']}", {}
    answer = await world.as_service(call.caller, call.callee, call.method, path, caller, body or None)
    return answer.status
