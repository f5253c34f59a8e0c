"""The control API: what one does to the outside world that no vendor's API offers, and a look into its books.

JSON over HTTPS with ``Authorization: Bearer <control_token>``. The product never speaks to it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from sandbox.cloudflare import Books as CloudflareBooks
from sandbox.cloudflare import Publisher
from sandbox.cloudflare.customers import Customers, NewZone
from sandbox.cloudflare.envelope import ApiError
from sandbox.dns import UnknownZone
from sandbox.dns.records import InvalidRecord
from sandbox.dnsbl import UnknownList
from sandbox.dnsbl.server import Mode
from sandbox.faults import Fault, FaultKind, Faults
from sandbox.infrastructure import Infrastructure
from sandbox.resend import Books as ResendBooks
from sandbox.resend import Webhooks as ResendWebhooks
from sandbox.resend.webhooks import Outcome
from sandbox.scaleway import ScalewayCloud
from sandbox.stripe import Books as StripeBooks
from sandbox.stripe import Webhooks, billing, checkout
from sandbox.stripe.errors import StripeError
from sandbox.transit import Books as TransitBooks
from sandbox.webhooks import WebhookSender


@dataclass(frozen=True)
class Wiring:
    """The parts that the control API reaches."""

    infrastructure: Infrastructure
    faults: Faults
    cloudflare: CloudflareBooks
    publisher: Publisher
    customers: Customers
    stripe: StripeBooks
    webhooks: Webhooks
    resend: ResendBooks
    resend_webhooks: ResendWebhooks
    scaleway: ScalewayCloud | None
    transit: TransitBooks


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultRequest(_Body):
    """Arm one fault, or switch the vendor's habits."""

    operation: str | None = None
    kind: FaultKind | None = None
    status: int = Field(default=503, ge=400, le=599)
    seconds: float = Field(default=0, ge=0, le=600)
    count: int = Field(default=1, ge=1, le=100_000)
    habits: bool | None = None


class Records(_Body):
    name: str
    type: str
    values: list[str] = Field(min_length=1)
    ttl: int = Field(default=1, ge=0, le=86_400)


class Delegation(_Body):
    secure: bool


class ListEntry(_Body):
    code: str = "127.0.0.2"
    reason: str = "listed by the sandbox"


class ListMode(_Body):
    mode: Mode


class Pool(_Body):
    addresses: list[str]


class Availability(_Body):
    zone: str
    commercial_type: str
    level: Literal["available", "scarce", "shortage"]


class WebhookEndpoint(_Body):
    url: str = Field(pattern=r"^https?://")
    ca_file: str | None = None


class MailOutcome(_Body):
    outcome: Outcome


class Renewal(_Body):
    paid: bool


class TokenStatus(_Body):
    status: Literal["active", "disabled", "expired"]


class Mail(_Body):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    sender: str = Field(alias="from")
    to: str
    subject: str = ""
    body: str = ""
    headers: dict[str, str] = Field(default_factory=dict)


VENDORS = ("scaleway", "cloudflare", "stripe", "resend", "transit")


def create_app(wiring: Wiring, token: SecretStr) -> FastAPI:
    """The control API over `wiring`."""

    def authorised(request: Request) -> None:
        expected = f"Bearer {token.get_secret_value()}"
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode()):
            raise HTTPException(
                401, "the control token is missing or wrong (see control_token in endpoints.json)"
            )

    app = FastAPI(title="Sandbox control", docs_url=None, redoc_url=None, dependencies=[Depends(authorised)])
    for router in (
        _world(wiring),
        _dns(wiring),
        _cloudflare(wiring),
        _billing(wiring),
        _mail(wiring),
        _cloud(wiring),
    ):
        app.include_router(router)
    for kind, status in _ERRORS.items():
        app.add_exception_handler(kind, _refusal(status))
    return app


_ERRORS: dict[type[Exception], int] = {
    UnknownZone: 404,
    UnknownList: 404,
    KeyError: 404,
    InvalidRecord: 422,
    ValueError: 422,
    StripeError: 409,
    ApiError: 422,
}


def _refusal(status: int) -> Callable[[Request, Exception], JSONResponse]:
    def answer(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)

    return answer


def _world(wiring: Wiring) -> APIRouter:
    """Health, books, faults."""
    router = APIRouter()

    @router.get("/health")
    async def health() -> dict[str, Any]:
        dead = wiring.infrastructure.dead()
        return {"ok": not dead, "dead": dead}

    @router.get("/books/{vendor}")
    async def books(vendor: str) -> Any:
        match vendor:
            case "scaleway":
                return _cloud_of(wiring).books()
            case "cloudflare":
                return wiring.cloudflare.view()
            case "stripe":
                return wiring.stripe.view()
            case "resend":
                return wiring.resend.view()
            case "transit":
                return {"keys": wiring.transit.view()}
            case "dnsbl":
                return wiring.infrastructure.blacklists.view()
            case "outside":
                return {"messages": wiring.infrastructure.outside.messages()}
            case "dns":
                tree = wiring.infrastructure.tree
                return {zone: [asdict(each) for each in await tree.records(zone)] for zone in tree.zones()}
        raise KeyError(vendor)

    @router.get("/faults/{vendor}")
    async def faults(vendor: str) -> dict[str, Any]:
        return wiring.faults.view(_vendor(vendor))

    @router.put("/faults/{vendor}")
    async def arm(vendor: str, body: FaultRequest) -> dict[str, Any]:
        if body.habits is not None:
            wiring.faults.habits_on(_vendor(vendor), body.habits)
        if body.operation is not None and body.kind is not None:
            fault = Fault(body.kind, body.status, body.seconds, body.count)
            wiring.faults.arm(_vendor(vendor), body.operation, fault)
        elif body.habits is None:
            raise ValueError("give operation and kind to arm a fault, or habits to switch the default ones")
        return wiring.faults.view(vendor)

    @router.delete("/faults/{vendor}")
    async def disarm(vendor: str, operation: str | None = None) -> dict[str, Any]:
        wiring.faults.disarm(_vendor(vendor), operation)
        return wiring.faults.view(vendor)

    return router


def _vendor(vendor: str) -> str:
    if vendor not in VENDORS:
        raise KeyError(f"{vendor}: no such vendor; known: {', '.join(VENDORS)}")
    return vendor


def _dns(wiring: Wiring) -> APIRouter:
    """The authoritative server beneath Cloudflare's books, delegations, blacklists, the ACME root."""
    router = APIRouter()
    infrastructure = wiring.infrastructure

    @router.get("/dns/records")
    async def served(name: str, type: str | None = None) -> list[dict[str, Any]]:
        found = await infrastructure.tree.records(infrastructure.tree.zone_of(name))
        wanted = name.lower().rstrip(".") + "."
        return [asdict(each) for each in found if each.name == wanted and type in (None, each.type)]

    @router.put("/dns/records")
    async def plant(body: Records) -> dict[str, Any]:
        await infrastructure.tree.set_records(body.name, body.type, body.values, body.ttl)
        return body.model_dump()

    @router.delete("/dns/records")
    async def repair(name: str, type: str) -> dict[str, Any]:
        return asdict(await wiring.publisher.restore(name, type.upper()))

    @router.put("/dns/delegations/{zone}")
    async def delegate(zone: str, body: Delegation) -> dict[str, Any]:
        await infrastructure.tree.delegate(zone, secure=body.secure)
        return {"zone": zone, "secure": await infrastructure.tree.is_secure(zone)}

    @router.get("/dnsbl")
    async def lists() -> list[dict[str, Any]]:
        return infrastructure.blacklists.view()

    @router.put("/dnsbl/{zone}")
    async def mode(zone: str, body: ListMode) -> dict[str, Any]:
        await infrastructure.blacklists.set_mode(zone, body.mode)
        return {"zone": zone, "mode": body.mode}

    @router.put("/dnsbl/{zone}/{address}")
    async def enlist(zone: str, address: str, body: ListEntry | None = None) -> dict[str, Any]:
        entry = body or ListEntry()
        return asdict(
            await infrastructure.blacklists.put(zone, ip_address(address), entry.code, entry.reason)
        )

    @router.delete("/dnsbl/{zone}/{address}")
    async def delist(zone: str, address: str) -> dict[str, Any]:
        return {"removed": await infrastructure.blacklists.delete(zone, ip_address(address))}

    @router.get("/acme/root")
    async def root() -> PlainTextResponse:
        return PlainTextResponse(await infrastructure.acme.roots(), media_type="application/x-pem-file")

    return router


def _cloudflare(wiring: Wiring) -> APIRouter:
    """Customers' accounts and zones, and records that somebody else put there."""
    router = APIRouter()
    customers = wiring.customers

    @router.post("/cloudflare/zones", status_code=201)
    async def create(body: NewZone) -> dict[str, Any]:
        return await customers.create(body)

    @router.post("/cloudflare/zones/{zone_id}/records", status_code=201)
    async def add(zone_id: str, records: Annotated[list[dict[str, Any]], Field(min_length=1)]) -> list[Any]:
        return await customers.add_records(zone_id, records)

    @router.delete("/cloudflare/zones/{zone_id}")
    async def remove(zone_id: str) -> dict[str, Any]:
        return await customers.remove(zone_id)

    @router.put("/cloudflare/tokens/{token_id}")
    async def token(token_id: str, body: TokenStatus) -> dict[str, Any]:
        wiring.cloudflare.set_token_status(token_id, body.status)
        return {"id": token_id, "status": body.status}

    return router


def _add_webhook_routes(router: APIRouter, webhooks: WebhookSender, prefix: str = "") -> None:
    """Where a vendor's webhooks go, what became of each, and one sent again."""

    @router.get(f"{prefix}/webhook")
    async def endpoint() -> dict[str, Any]:
        return webhooks.endpoint() or {}

    @router.put(f"{prefix}/webhook")
    async def configure(body: WebhookEndpoint) -> dict[str, Any]:
        webhooks.configure(body.url, body.ca_file)
        return body.model_dump()

    @router.get(f"{prefix}/deliveries")
    async def deliveries() -> list[dict[str, Any]]:
        return webhooks.deliveries()

    @router.post(f"{prefix}/events/{{event_id}}/resend")
    async def again(event_id: str) -> dict[str, Any]:
        webhooks.resend(event_id)
        return {"event": event_id}


def _billing(wiring: Wiring) -> APIRouter:
    """The buyer's side of Stripe, and its webhooks."""
    router = APIRouter(prefix="/stripe")

    _add_webhook_routes(router, wiring.webhooks)

    @router.post("/checkout/{session_id}/pay")
    async def pay(session_id: str) -> dict[str, Any]:
        return checkout.pay(wiring.stripe, session_id)

    @router.post("/invoices/{invoice_id}/pay")
    async def settle(invoice_id: str) -> dict[str, Any]:
        return billing.settle(wiring.stripe, invoice_id)

    @router.post("/subscriptions/{subscription_id}/give-up")
    async def give_up(subscription_id: str) -> dict[str, Any]:
        return billing.give_up(wiring.stripe, subscription_id)

    @router.post("/subscriptions/{subscription_id}/renew")
    async def renew(subscription_id: str, body: Renewal) -> dict[str, Any]:
        return billing.renew(wiring.stripe, subscription_id, paid=body.paid)

    return router


def _mail(wiring: Wiring) -> APIRouter:
    """Mails that Resend took, and the outside mail host."""
    router = APIRouter()
    outside = wiring.infrastructure.outside

    @router.get("/resend/messages")
    async def sent(to: str | None = None) -> list[dict[str, Any]]:
        return wiring.resend.messages(to)

    _add_webhook_routes(router, wiring.resend_webhooks, "/resend")

    @router.post("/resend/messages/{mail_id}/outcome")
    async def happen(mail_id: str, body: MailOutcome) -> dict[str, Any]:
        mail = wiring.resend.get(mail_id)
        if mail is None:
            raise KeyError(mail_id)
        events = [wiring.resend_webhooks.happen(mail, address, body.outcome) for address in mail["to"]]
        return {"events": [event for each in events for event in each]}

    @router.put("/resend/recipients/{address}")
    async def recipient(address: str, body: MailOutcome) -> dict[str, Any]:
        wiring.resend.set_outcome(address, body.outcome)
        return {"address": address, "outcome": body.outcome}

    @router.delete("/resend/recipients/{address}")
    async def ordinary(address: str) -> dict[str, Any]:
        wiring.resend.set_outcome(address, None)
        return {"address": address, "outcome": "delivered"}

    @router.post("/mail/outside/send")
    async def send(body: Mail) -> dict[str, Any]:
        return await outside.send(
            sender=body.sender, recipient=body.to, subject=body.subject, body=body.body, headers=body.headers
        )

    @router.get("/mail/outside/messages")
    async def received(to: str | None = None) -> list[dict[str, Any]]:
        return outside.messages(to)

    return router


def _cloud(wiring: Wiring) -> APIRouter:
    """What the cloud offers next and has in stock."""
    router = APIRouter(prefix="/scaleway")

    @router.get("/ip-pool")
    async def pool() -> dict[str, Any]:
        return dict(_cloud_of(wiring).ip_pool())

    @router.put("/ip-pool")
    async def offer(body: Pool) -> dict[str, Any]:
        return dict(_cloud_of(wiring).offer(body.addresses))

    @router.put("/availability")
    async def stock(body: Availability) -> dict[str, Any]:
        _cloud_of(wiring).set_availability(body.zone, body.commercial_type, body.level)
        return body.model_dump()

    return router


def _cloud_of(wiring: Wiring) -> ScalewayCloud:
    if wiring.scaleway is None:
        raise KeyError("this sandbox runs without a cloud")
    return wiring.scaleway
