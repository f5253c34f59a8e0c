"""How it comes that a request succeeds, for the routes where it takes more than a fresh thing in the path.

Links in mails are taken out of the mails that auth's worker sends; webhooks are signed by the secret of their sender;
payment pages are opened at the sandbox's Stripe.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from services.auth.mail_links import MailLinkSigner
from services.auth.notifications.service import send_due
from services.auth.second_factor import totp
from services.auth.wiring import WorkerResources
from services.provisioner.plans import Catalogue
from services.provisioner.regions.observer import Offers
from services.provisioner.settings import PLANS_FILE
from shared.clock import SystemClock
from tests.auth.stage import KeptMail
from tests.examples import money, senders
from tests.examples.house import House
from tests.examples.request import WORKSPACE, Request, State
from tests.isolation import factories
from tests.isolation.lists import LISTED
from tests.isolation.stage import Person
from tests.provisioner.outside.cloud import MemoryCloud

NEW_PASSWORD = "EXAMPLE of a new password 4711"


# -- mails ---------------------------------------------------------------------------------------------------------


async def _token(house: House, address: str) -> str:
    """Of the link in the last mail to the address."""
    clock, mailer = SystemClock(), KeptMail()
    worker = WorkerResources(
        database=house.world.databases["auth"], clock=clock, mailer=mailer,
        links=MailLinkSigner(house.world.mail_key, clock), public_url="https://sendchief.test",
    )  # fmt: skip
    while await send_due(worker):
        pass
    found = re.search(r"#token=(\S+)", mailer.last_to(address).text)
    assert found is not None
    return found[1]


def _address() -> str:
    return f"{secrets.token_hex(6)}@people.test"


async def _confirm(house: House, owner: Person) -> Request:
    email = _address()
    body = {"email": email, "password": NEW_PASSWORD, "name": "Ada"}
    await house.succeed("POST", "/v1/auth/signup", body)
    return Request("/v1/auth/confirm", {"token": await _token(house, email)})


async def _sign_in(house: House, owner: Person) -> Request:
    return Request("/v1/auth/sessions", {"email": owner.email, "password": factories.customers.PASSWORD})


async def _refresh(house: House, owner: Person) -> Request:
    signed_in = await house.succeed("POST", "/v1/auth/sessions", (await _sign_in(house, owner)).body)
    cookie = next(line for line in signed_in.cookies if line.startswith("__Host-sc_rt="))
    return Request(
        "/v1/auth/sessions/refresh", headers={"Cookie": cookie.partition(";")[0], "X-SC-CSRF": "1"}
    )


async def _complete_reset(house: House, owner: Person) -> Request:
    await house.succeed("POST", "/v1/auth/password-reset", {"email": owner.email})
    body = {"token": await _token(house, owner.email), "password": NEW_PASSWORD}
    return Request("/v1/auth/password-reset/complete", body)


async def _confirm_address(house: House, owner: Person) -> Request:
    email = _address()
    await house.succeed(
        "POST", "/v1/me/email", {"email": email, "password": factories.customers.PASSWORD}, owner
    )
    return Request("/v1/auth/email-change/confirm", {"token": await _token(house, email)})


async def _undo_address(house: House, owner: Person) -> Request:
    confirm = await _confirm_address(house, owner)
    await house.succeed("POST", confirm.path, confirm.body)
    body = {"token": await _token(house, owner.email), "password": NEW_PASSWORD}
    return Request("/v1/auth/email-change/undo", body)


async def _accept(house: House, owner: Person) -> Request:
    guest = await house.stage.person()
    path = f"/v1/workspaces/{owner.workspace_id}/invitations"
    await house.succeed("POST", path, {"email": guest.email}, owner)
    return Request("/v1/invitations/accept", {"token": await _token(house, guest.email)}, guest.headers)


def _unsubscribing(**request: Any) -> State:
    async def state(house: House, owner: Person) -> Request:
        links = MailLinkSigner(house.world.mail_key, SystemClock())
        token = links.sign(
            "unsubscribe+jwt", owner.account_id, expires_at=datetime.now(UTC) + timedelta(days=1),
            ws=owner.workspace_id, kind="server_ready",
        )  # fmt: skip
        return Request(f"/v1/unsubscribe?token={token}", **request)

    return state


# -- lists with something in them ------------------------------------------------------------------------------------


async def _security_events(house: House, owner: Person) -> Request:
    await _confirm_address(house, owner)
    return Request("/v1/me/security-events")


async def _undeliverable(house: House, owner: Person) -> Request:
    await factories.auth.suppression(house.world, owner.customer)
    return Request(f"{WORKSPACE}/undeliverable")


async def _app_passwords(house: House, owner: Person) -> Request:
    mailbox = await factories.vault.secret_mailbox(house.world, owner.customer)
    path = f"{WORKSPACE}/mailboxes/{mailbox.id}/app-passwords"
    body = {"name": "phone", "reason": "a new phone"}
    await house.succeed("POST", path.replace("{workspace_id}", owner.workspace_id), body, owner)
    return Request(path)


async def _seen_by_somebody(house: House, owner: Person) -> Request:
    await LISTED[f"GET {WORKSPACE}/credential-reads"](house.world, owner.customer)
    body = {"actor_id": owner.account_id, "reason": "a colleague has left"}
    return Request(f"{WORKSPACE}/credential-reads/rotate", body)


async def _offered(house: House, owner: Person) -> Request:
    """As the worker has read it at the cloud."""
    offers = Offers(
        house.world.databases["provisioner"], MemoryCloud(time.monotonic), Catalogue.load(PLANS_FILE)
    )
    await offers.run()
    return Request("/v1/regions")


# -- the second factor ---------------------------------------------------------------------------------------------


async def _authenticator(house: House, owner: Person) -> bytes:
    """The key that the person's app has got."""
    made = await house.succeed(
        "POST", "/v1/me/second-factor", {"password": factories.customers.PASSWORD}, owner
    )
    return base64.b32decode(json.loads(made.body)["secret"])


async def _first_code(house: House, owner: Person) -> Request:
    key = await _authenticator(house, owner)
    return Request("/v1/me/second-factor/confirm", {"code": totp.code_at(key, datetime.now(UTC))})


def _with_factor(path: str) -> State:
    async def state(house: House, owner: Person) -> Request:
        key, now = await _authenticator(house, owner), datetime.now(UTC)
        first = {"code": totp.code_at(key, now)}
        await house.succeed("POST", "/v1/me/second-factor/confirm", first, owner)
        code = totp.code_at(key, now + timedelta(seconds=totp.PERIOD_SECONDS))
        return Request(path, {"password": factories.customers.PASSWORD, "code": code})

    return state


STATES: dict[str, State] = {
    "GET /v1/me/security-events": _security_events,
    f"GET {WORKSPACE}/undeliverable": _undeliverable,
    f"GET {WORKSPACE}/mailboxes/{{mailbox_id}}/app-passwords": _app_passwords,
    f"POST {WORKSPACE}/credential-reads/rotate": _seen_by_somebody,
    "GET /v1/regions": _offered,
    "POST /v1/auth/confirm": _confirm,
    "POST /v1/auth/sessions": _sign_in,
    "POST /v1/auth/sessions/refresh": _refresh,
    "POST /v1/auth/password-reset/complete": _complete_reset,
    "POST /v1/auth/email-change/confirm": _confirm_address,
    "POST /v1/auth/email-change/undo": _undo_address,
    "POST /v1/me/second-factor/confirm": _first_code,
    "POST /v1/me/second-factor/recovery-codes": _with_factor("/v1/me/second-factor/recovery-codes"),
    "DELETE /v1/me/second-factor": _with_factor("/v1/me/second-factor"),
    "POST /v1/unsubscribe": _unsubscribing(
        body=b"List-Unsubscribe=One-Click", headers={"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "GET /v1/unsubscribe": _unsubscribing(),
    "POST /v1/webhooks/resend": senders.resend,
    "POST /v1/webhooks/stripe": senders.stripe,
    "POST /v1/invitations/accept": _accept,
    "POST /v1/secret-scanning/alerts": senders.leaked,
    f"POST {WORKSPACE}/subscriptions": money.buy,
    f"POST {WORKSPACE}/billing/portal": money.portal,
    f"POST {WORKSPACE}/subscriptions/{{subscription_id}}/refund": money.refund,
}
