"""Stripe's endpoints below ``/v1`` and its hosted pages.

Two keys: a secret one for everything, a restricted one for Checkout sessions and the portal only.
Source: https://docs.stripe.com/api
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults, obey
from sandbox.stripe import billing, catalogue, checkout, forms, invoices, pages
from sandbox.stripe.books import API_VERSION, Books, Document, new_id
from sandbox.stripe.errors import StripeError, no_such
from sandbox.stripe.forms import Params
from sandbox.stripe.idempotency import Idempotency
from sandbox.stripe.reading import expand, list_page

Action = Callable[[Params, dict[str, str]], Document]


@dataclass(frozen=True)
class Keys:
    """The account's API keys."""

    secret: SecretStr
    restricted: SecretStr


@dataclass(frozen=True)
class Call:
    """One endpoint: what it does, its name for faults, and whether the restricted key may call it."""

    method: str
    path: str
    operation: str
    action: Action
    restricted: bool = False


class Api:
    """Dispatch: key, version, idempotency, faults, expansion."""

    def __init__(
        self, books: Books, faults: Faults, keys: Keys, public_url: str, now: Callable[[], float]
    ) -> None:
        self._books = books
        self._faults = faults
        self._keys = keys
        self._public_url = public_url
        self._idempotency = Idempotency(books.store, now)
        books.public_url = public_url

    def calls(self) -> list[Call]:
        """Every endpoint."""
        return [*self._catalogue_calls(), *self._checkout_calls(), *self._billing_calls()]

    def _catalogue_calls(self) -> list[Call]:
        books, make = self._books, catalogue
        product, customer = "/products/{id}", "/customers/{id}"
        return [
            Call("POST", "/products", "products.create", lambda p, _: make.create_product(books, p)),
            Call("GET", "/products", "products.list", self._list("product", {"active": "active"})),
            Call("GET", product, "products.retrieve", self._get("product")),
            Call("POST", product, "products.update", lambda p, k: make.update_product(books, k["id"], p)),
            Call("POST", "/prices", "prices.create", lambda p, _: make.create_price(books, p)),
            Call("GET", "/prices", "prices.list", self._list("price", _PRICE_FILTERS)),
            Call("GET", "/prices/{id}", "prices.retrieve", self._get("price")),
            Call("POST", "/prices/{id}", "prices.update", lambda p, k: make.update_price(books, k["id"], p)),
            Call("POST", "/customers", "customers.create", lambda p, _: make.create_customer(books, p)),
            Call("GET", "/customers", "customers.list", self._list("customer", {"email": "email"})),
            Call("GET", customer, "customers.retrieve", self._get("customer")),
            Call("POST", customer, "customers.update", lambda p, k: make.update_customer(books, k["id"], p)),
            Call("DELETE", customer, "customers.delete", self._delete_customer),
        ]

    def _checkout_calls(self) -> list[Call]:
        """What the restricted key may do."""
        kind, sessions = "checkout.session", "/checkout/sessions"
        name = "checkout.sessions"
        return [
            Call("POST", sessions, f"{name}.create", self._create_session, True),
            Call("GET", sessions, f"{name}.list", self._list(kind, _SESSION_FILTERS), True),
            Call("GET", f"{sessions}/{{id}}", f"{name}.retrieve", self._get(kind), True),
            Call("GET", f"{sessions}/{{id}}/line_items", f"{name}.line_items", self._line_items, True),
            Call("POST", f"{sessions}/{{id}}/expire", f"{name}.expire", self._expire, True),
            Call(
                "POST",
                "/billing_portal/sessions",
                "billing_portal.sessions.create",
                self._create_portal,
                True,
            ),
        ]

    def _billing_calls(self) -> list[Call]:
        books, one = self._books, "/subscriptions/{id}"
        payment_filters = {"invoice": "invoice"}
        refund_filters = {"payment_intent": "payment_intent"}
        update, cancel = billing.update_subscription, billing.cancel_subscription
        return [
            Call("GET", "/subscriptions", "subscriptions.list", self._list_subscriptions),
            Call("GET", one, "subscriptions.retrieve", self._get("subscription")),
            Call("POST", one, "subscriptions.update", lambda p, k: update(books, k["id"], p)),
            Call("DELETE", one, "subscriptions.cancel", lambda p, k: cancel(books, k["id"], p)),
            Call("GET", "/invoices", "invoices.list", self._list("invoice", _INVOICE_FILTERS)),
            Call("GET", "/invoices/{id}", "invoices.retrieve", self._get("invoice")),
            Call("GET", "/invoice_payments", "payments.list", self._list("invoice_payment", payment_filters)),
            Call("POST", "/refunds", "refunds.create", lambda p, _: invoices.create_refund(books, p)),
            Call("GET", "/refunds", "refunds.list", self._list("refund", refund_filters)),
            Call("GET", "/refunds/{id}", "refunds.retrieve", self._get("refund")),
            Call("GET", "/events", "events.list", self._list("event", {"type": "type", "types": "type"})),
            Call("GET", "/events/{id}", "events.retrieve", self._get("event")),
        ]

    def route(self, call: Call) -> Route:
        """The route of one endpoint."""

        async def endpoint(request: Request) -> Response:
            request_id = new_id("req")
            try:
                caller = self._caller(request, call)
                response = await self._answer(request, call, caller)
            except StripeError as error:
                response = error.response()
            response.headers.setdefault("Request-Id", request_id)
            response.headers["Stripe-Version"] = request.headers.get("stripe-version", API_VERSION)
            return response

        return Route(f"/v1{call.path}", endpoint, methods=[call.method])

    async def _answer(self, request: Request, call: Call, caller: str) -> Response:
        body = await request.body()
        query = request.url.query

        async def run() -> Response:
            try:
                params = forms.decode("&".join(part for part in (body.decode(), query) if part))
                found = call.action(params, {key: str(value) for key, value in request.path_params.items()})
                return JSONResponse(expand(self._books, found, params))
            except StripeError as error:
                return error.response()

        fault = self._faults.take("stripe", call.operation)
        key = request.headers.get("idempotency-key")
        if key is None or call.method != "POST":
            return await obey(fault, run, _refuse)
        fingerprint = f"{request.url.path}\n{query}\n".encode() + body
        # Outside of the kept answers: a lost answer is kept all the same, so that the retry finds it.
        return await obey(fault, lambda: self._idempotency.run(caller, key, fingerprint, run), _refuse)

    def _caller(self, request: Request, call: Call) -> str:
        """``secret`` or ``restricted``. Raises StripeError 401 or 403."""
        key = _key_of(request)
        if not key:
            message = (
                "You did not provide an API key. You need to provide your API key in the Authorization header, using"
                " Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
            )
            raise StripeError(401, message)
        if key == self._keys.secret.get_secret_value():
            return "secret"
        if key != self._keys.restricted.get_secret_value():
            raise StripeError(401, f"Invalid API Key provided: {key[:8]}{'*' * 12}")
        if not call.restricted:
            message = (
                "The provided key 'rk_test_***' does not have the required permissions for this endpoint."
            )
            raise StripeError(403, message, code="more_permissions_required_for_application")
        return "restricted"

    def _get(self, kind: str) -> Action:
        return lambda _params, keys: self._books.get(kind, keys["id"])

    def _list(self, kind: str, filters: dict[str, str]) -> Action:
        url = f"/v1/{kind.replace('.', '/')}s"
        return lambda params, _: list_page(self._books, kind, params, url, filters)

    def _list_subscriptions(self, params: Params, _keys: dict[str, str]) -> Document:
        """Cancelled ones are left out unless asked for, as in Stripe."""
        rows = self._books.list("subscription")
        status = params.get("status")
        if status is None:
            rows = [each for each in rows if each["status"] != "canceled"]
        filters = {"customer": "customer", "status": "status"}
        if status == "all":
            params = {key: value for key, value in params.items() if key != "status"}
        return list_page(self._books, "subscription", params, "/v1/subscriptions", filters, rows=rows)

    def _delete_customer(self, _params: Params, keys: dict[str, str]) -> Document:
        customer = catalogue.live_customer(self._books, keys["id"])
        gone = {"id": customer["id"], "object": "customer", "deleted": True}
        for subscription in self._books.list("subscription"):
            if subscription["customer"] == customer["id"] and subscription["status"] != "canceled":
                billing.cancel_subscription(self._books, subscription["id"], {})
        return self._books.put(gone)

    def _create_session(self, params: Params, _keys: dict[str, str]) -> Document:
        return checkout.create_session(self._books, params, self._public_url)

    def _expire(self, _params: Params, keys: dict[str, str]) -> Document:
        return checkout.expire(self._books, keys["id"])

    def _line_items(self, params: Params, keys: dict[str, str]) -> Document:
        rows = checkout.line_items(self._books, keys["id"])
        return list_page(
            self._books, "item", params, f"/v1/checkout/sessions/{keys['id']}/line_items", {}, rows=rows
        )

    def _create_portal(self, params: Params, _keys: dict[str, str]) -> Document:
        forms.only(params, ("customer", "return_url", "locale", "configuration", "expand"))
        customer = catalogue.live_customer(self._books, forms.required(params, "customer"), "customer")
        key = new_id("bps")
        portal = {
            "id": key,
            "object": "billing_portal.session",
            "configuration": "bpc_sandbox",
            "created": self._books.now(),
            "customer": customer["id"],
            "flow": None,
            "livemode": False,
            "locale": None,
            "on_behalf_of": None,
            "return_url": forms.text(params, "return_url"),
            "url": f"{self._public_url}/portal/{key}",
        }
        return self._books.put(portal)

    async def payment_page(self, request: Request) -> Response:
        """GET and POST /pay/{id}."""
        key = request.path_params["id"]
        try:
            if request.method == "POST":
                return RedirectResponse(
                    pages.success_location(checkout.pay(self._books, key)), status_code=303
                )
            session = self._books.get("checkout.session", key)
            return HTMLResponse(pages.payment_page(session, checkout.line_items(self._books, key)))
        except StripeError as error:
            return HTMLResponse(str(error), status_code=error.status)

    async def invoice_page(self, request: Request) -> Response:
        """GET and POST /invoice/{id}: an invoice, and a button that pays an open one."""
        key = request.path_params["id"]
        try:
            if request.method == "POST":
                billing.settle(self._books, key)
                return RedirectResponse(str(request.url), status_code=303)
            return HTMLResponse(pages.invoice_page(self._books.get("invoice", key)))
        except StripeError as error:
            return HTMLResponse(str(error), status_code=error.status)

    async def portal_page(self, request: Request) -> Response:
        """GET and POST /portal/{id}."""
        try:
            portal = self._books.get("billing_portal.session", request.path_params["id"])
            if request.method == "POST":
                params = forms.decode((await request.body()).decode())
                subscription = self._books.get("subscription", forms.required(params, "cancel"))
                if subscription["customer"] != portal["customer"]:
                    raise no_such("subscription", subscription["id"])
                billing.update_subscription(self._books, subscription["id"], {"cancel_at_period_end": "true"})
                return RedirectResponse(str(request.url), status_code=303)
            return HTMLResponse(pages.portal_page(self._books, portal))
        except StripeError as error:
            return HTMLResponse(str(error), status_code=error.status)


_PRICE_FILTERS = {
    "active": "active",
    "product": "product",
    "lookup_keys": "lookup_key",
    "currency": "currency",
    "type": "type",
}
_SESSION_FILTERS = {"customer": "customer", "subscription": "subscription", "status": "status"}
_INVOICE_FILTERS = {
    "customer": "customer",
    "status": "status",
    "subscription": "parent.subscription_details.subscription",
}


def create_app(
    books: Books, faults: Faults, keys: Keys, *, public_url: str, now: Callable[[], float]
) -> Starlette:
    """The ASGI application; `public_url` is where the hosted pages are reached."""
    api = Api(books, faults, keys, public_url, now)
    routes = [api.route(call) for call in api.calls()]
    routes.append(Route("/pay/{id}", api.payment_page, methods=["GET", "POST"]))
    routes.append(Route("/invoice/{id}", api.invoice_page, methods=["GET", "POST"]))
    routes.append(Route("/portal/{id}", api.portal_page, methods=["GET", "POST"]))

    async def unknown_url(request: Request, _error: Exception) -> Response:
        message = f"Unrecognized request URL ({request.method}: {request.url.path})."
        return StripeError(404, message).response()

    return Starlette(routes=routes, exception_handlers={404: unknown_url, 405: unknown_url})


def _key_of(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return value if scheme.lower() == "bearer" else ""


def _refuse(fault: Fault) -> Response:
    if fault.kind == "rate_limit":
        return StripeError(
            429,
            "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
            code="rate_limit",
        ).response({"Retry-After": str(max(1, round(fault.seconds)))})
    if fault.kind == "not_found":
        return no_such("object", "(fault)").response()
    kind = "api_error" if fault.status >= 500 else "invalid_request_error"
    return StripeError(fault.status, "An error occurred on our side.", kind=kind).response()
