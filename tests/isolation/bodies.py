"""What requests with a body say. A route with a body that is not here fails the test.

`FOREIGN` lists the members of a body that are ids: each is also tried with an id of the other customer.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from tests.isolation import factories
from tests.isolation.world import Customer, Factory, Made, World

Body = Callable[[World, Customer, Made | None], Awaitable[Any]]
_W = "/v1/workspaces/{workspace_id}"


async def _delete_workspace(world: World, one: Customer, made: Made | None) -> Any:
    return {"confirm_name": one.name}


async def _rename(world: World, one: Customer, made: Made | None) -> Any:
    return {"name": one.name}


async def _role(world: World, one: Customer, made: Made | None) -> Any:
    return {"role": "admin"}


async def _transfer(world: World, one: Customer, made: Made | None) -> Any:
    return {"member_id": (await factories.auth.member(world, one)).id, "your_role": "owner"}


async def _somebody_stays(world: World, one: Customer, made: Made | None) -> Any:
    """No body; but only with another owner there may the owner go."""
    await factories.auth.member(world, one, role="owner")


async def _invite(world: World, one: Customer, made: Made | None) -> Any:
    return {"email": f"{secrets.token_hex(6)}@people.test"}


async def _preferences(world: World, one: Customer, made: Made | None) -> Any:
    return {"off": ["server_ready"]}


async def _api_key(world: World, one: Customer, made: Made | None) -> Any:
    return {"name": "k", "scopes": ["servers:read"]}


async def _rotate(world: World, one: Customer, made: Made | None) -> Any:
    return {"expires_in_days": 30}


async def _webhook(world: World, one: Customer, made: Made | None) -> Any:
    return {"url": f"https://{secrets.token_hex(6)}.customer.com/in", "events": ["server.ready"]}


async def _webhook_off(world: World, one: Customer, made: Made | None) -> Any:
    return {"enabled": False}


async def _overlap(world: World, one: Customer, made: Made | None) -> Any:
    return {"overlap_hours": 1}


async def _chosen_password(world: World, one: Customer, made: Made | None) -> Any:
    return {"password": f"{secrets.token_hex(8)} tractors", "reason": "asked by phone"}


async def _app_password(world: World, one: Customer, made: Made | None) -> Any:
    return {"name": "phone", "reason": "a new phone"}


async def _colleague(world: World, one: Customer, made: Made | None) -> Any:
    return {"actor_id": one.account_id, "reason": "a colleague has left"}


async def _reason(world: World, one: Customer, made: Made | None) -> Any:
    return {"reason": "asked by phone"}


async def _export(world: World, one: Customer, made: Made | None) -> Any:
    mailbox = await factories.vault.secret_mailbox(world, one)
    return {"format": "csv", "mailbox_ids": [mailbox.id], "reason": "moving house"}


async def _download(world: World, one: Customer, made: Made | None) -> Any:
    return {"token": made.extra["token"] if made else "x"}


async def _provider_token(world: World, one: Customer, made: Made | None) -> Any:
    return {"provider": "cloudflare", "token": secrets.token_urlsafe(30), "label": "zone"}


async def _subscribe(world: World, one: Customer, made: Made | None) -> Any:
    return {"plan": await factories.provisioner.priced_plan(world), "zone": "fr-par-1"}


async def _customer(world: World, one: Customer, made: Made | None) -> Any:
    await factories.provisioner.subscription(world, one)
    return None


async def _cancel(world: World, one: Customer, made: Made | None) -> Any:
    return {"confirm_name": made.extra["hostname"] if made else "x", "reason": "no longer needed"}


async def _order(world: World, one: Customer, made: Made | None) -> Any:
    return {"reason": "it hangs"}


async def _rebuild(world: World, one: Customer, made: Made | None) -> Any:
    name = made.extra["hostname"] if made else "x"
    return {"confirm_name": name, "mail_is_lost": True, "reason": "a fresh start"}


async def _domain(world: World, one: Customer, made: Made | None) -> Any:
    return {
        "server_id": (await factories.provisioner.server(world, one)).id,
        "name": await factories.provisioner.proven_name(world, one),
    }


async def _move(world: World, one: Customer, made: Made | None) -> Any:
    return {"server_id": (await factories.provisioner.server(world, one)).id}


async def _mailbox(world: World, one: Customer, made: Made | None) -> Any:
    return {"local_part": secrets.token_hex(4), "display_name": "Ada"}


async def _zone(world: World, one: Customer, made: Made | None) -> Any:
    return {"name": f"{secrets.token_hex(6)}.test", "method": "txt"}


async def _apply(world: World, one: Customer, made: Made | None) -> Any:
    return {"plan_id": made.extra["plan_id"] if made else "x"}


async def _sign_up(world: World, one: Customer, made: Made | None) -> Any:
    name = secrets.token_hex(6)
    return {"email": f"{name}@people.test", "password": secrets.token_urlsafe(20), "name": name}


async def _sign_in(world: World, one: Customer, made: Made | None) -> Any:
    return {"email": f"{secrets.token_hex(6)}@people.test", "password": secrets.token_urlsafe(20)}


async def _password(world: World, one: Customer, made: Made | None) -> Any:
    return {"password": factories.customers.PASSWORD}


async def _address(world: World, one: Customer, made: Made | None) -> Any:
    return {"email": f"{secrets.token_hex(6)}@people.test"}


async def _stale_reset(world: World, one: Customer, made: Made | None) -> Any:
    return {"token": "x" * 40, "password": secrets.token_urlsafe(20)}


async def _new_password(world: World, one: Customer, made: Made | None) -> Any:
    return {"current_password": factories.customers.PASSWORD, "new_password": secrets.token_urlsafe(20)}


async def _new_address(world: World, one: Customer, made: Made | None) -> Any:
    return {"email": f"{secrets.token_hex(6)}@people.test", "password": factories.customers.PASSWORD}


async def _wrong_code(world: World, one: Customer, made: Made | None) -> Any:
    return {"code": "000000"}


async def _stale_link(world: World, one: Customer, made: Made | None) -> Any:
    return {"token": "x" * 40}


async def _workspace(world: World, one: Customer, made: Made | None) -> Any:
    return {"name": f"Team {secrets.token_hex(4)}"}


async def _no_report(world: World, one: Customer, made: Made | None) -> Any:
    return []


async def _one_click(world: World, one: Customer, made: Made | None) -> Any:
    return None


async def _not_stripe(world: World, one: Customer, made: Made | None) -> Any:
    return {"id": "evt_1"}


BODIES: dict[str, Body] = {
    "POST /v1/auth/signup": _sign_up,
    "POST /v1/auth/confirm": _stale_link,
    "POST /v1/auth/sessions": _sign_in,
    "POST /v1/auth/sessions/current/step-up": _password,
    "POST /v1/auth/password-reset": _address,
    "POST /v1/auth/password-reset/complete": _stale_reset,
    "POST /v1/auth/email-change/confirm": _stale_link,
    "POST /v1/auth/email-change/undo": _stale_reset,
    "POST /v1/me/email": _new_address,
    "POST /v1/me/password": _new_password,
    "POST /v1/me/second-factor": _password,
    "POST /v1/me/second-factor/confirm": _wrong_code,
    "POST /v1/me/second-factor/recovery-codes": _password,
    "DELETE /v1/me/second-factor": _password,
    "POST /v1/secret-scanning/alerts": _no_report,
    "POST /v1/workspaces": _workspace,
    "POST /v1/invitations/accept": _stale_link,
    "POST /v1/webhooks/stripe": _not_stripe,
    "POST /v1/webhooks/resend": _not_stripe,
    "POST /v1/unsubscribe": _one_click,
    f"DELETE {_W}": _delete_workspace,
    f"PATCH {_W}": _rename,
    f"POST {_W}/transfer": _transfer,
    f"POST {_W}/leave": _somebody_stays,
    f"PATCH {_W}/members/{{member_id}}": _role,
    f"POST {_W}/invitations": _invite,
    f"PUT {_W}/notification-preferences": _preferences,
    f"POST {_W}/api-keys": _api_key,
    f"POST {_W}/api-keys/{{key_id}}/rotate": _rotate,
    f"POST {_W}/webhooks": _webhook,
    f"PATCH {_W}/webhooks/{{webhook_id}}": _webhook_off,
    f"POST {_W}/webhooks/{{webhook_id}}/rotate": _overlap,
    f"POST {_W}/mailboxes/{{mailbox_id}}/reveal": _reason,
    f"POST {_W}/mailboxes/{{mailbox_id}}/chosen-password": _chosen_password,
    f"POST {_W}/mailboxes/{{mailbox_id}}/password": _reason,
    f"POST {_W}/mailboxes/{{mailbox_id}}/app-passwords": _app_password,
    f"POST {_W}/credential-reads/rotate": _colleague,
    f"POST {_W}/exports": _export,
    f"POST {_W}/exports/{{export_id}}/download": _download,
    f"POST {_W}/provider-tokens": _provider_token,
    f"POST {_W}/subscriptions": _subscribe,
    f"POST {_W}/billing/portal": _customer,
    f"POST {_W}/servers/{{server_id}}/cancel": _cancel,
    f"POST {_W}/servers/{{server_id}}/reboot": _order,
    f"POST {_W}/servers/{{server_id}}/rescue": _order,
    f"POST {_W}/servers/{{server_id}}/rebuild": _rebuild,
    f"POST {_W}/domains": _domain,
    f"POST {_W}/domains/{{domain_id}}/move": _move,
    f"POST {_W}/domains/{{domain_id}}/mailboxes": _mailbox,
    f"POST {_W}/zones": _zone,
    f"POST {_W}/zones/{{zone_id}}/plan/apply": _apply,
}

IDS_IN_BODIES: dict[str, dict[str, tuple[Factory, bool]]] = {
    f"POST {_W}/transfer": {"member_id": (factories.auth.member, False)},
    f"POST {_W}/exports": {"mailbox_ids": (factories.vault.secret_mailbox, True)},
    f"POST {_W}/domains": {"server_id": (factories.provisioner.server, False)},
    f"POST {_W}/domains/{{domain_id}}/move": {"server_id": (factories.provisioner.server, False)},
}
"""Members that name a thing: the factory of that thing, and whether the member is a list."""

NOT_ALONE: dict[str, str] = {
    f"POST {_W}/subscriptions": "opens a page at the payment provider, which is not in this process: 503",
    f"POST {_W}/subscriptions/{{subscription_id}}/refund": "only for a server that cannot be made: 409",
    f"POST {_W}/billing/portal": "opens a page at the payment provider, which is not in this process: 503",
}
"""Requests that the owner cannot carry out here, each with the reason."""

KEEPS_INTENT = frozenset({f"POST {_W}/subscriptions"})
"""Requests that write down what is wished before a vendor is asked: when he is away (503) the wish stays, and the same
Idempotency-Key goes on with it."""

HEADERS: dict[str, dict[str, str]] = {
    "POST /v1/webhooks/stripe": {"Stripe-Signature": "t=1,v1=00"},
}
"""What requests carry beside their credential."""

CONSUMES = frozenset({f"DELETE {_W}", f"POST {_W}/leave", "DELETE /v1/auth/sessions", "POST /v1/me/password"})
"""Requests after whose success the customer is not what it was: each principal gets customers of its own."""

REQUEST_ID = re.compile(rb"req_[0-9a-f]{32}")
