"""Checkout sessions in subscription mode, and what happens when the buyer pays.

Source: https://docs.stripe.com/api/checkout/sessions
"""

from __future__ import annotations

from urllib.parse import urlsplit

from sandbox.stripe import forms
from sandbox.stripe.billing import Line, start_subscription
from sandbox.stripe.books import Books, Document, new_id
from sandbox.stripe.catalogue import create_price, live_customer, new_customer
from sandbox.stripe.errors import StripeError, invalid, missing
from sandbox.stripe.forms import Params
from sandbox.stripe.invoices import make_invoice

DAY = 86_400
# Accepted and shown, without effect here.
PRESENTATION = (
    "allow_promotion_codes automatic_tax billing_address_collection consent_collection custom_text customer_update"
    " locale payment_method_collection payment_method_types phone_number_collection tax_id_collection"
)
KNOWN = (
    "mode line_items success_url cancel_url client_reference_id customer customer_email metadata subscription_data"
    " expires_at ui_mode expand"
)


def create_session(books: Books, params: Params, public_url: str) -> Document:
    """POST /v1/checkout/sessions: an open session; `public_url` is where its page is. Raises StripeError."""
    forms.only(params, (KNOWN + " " + PRESENTATION).split())
    mode = forms.choice(params, "mode", ("subscription", "payment", "setup"))
    if mode is None:
        raise missing("mode")
    if mode != "subscription":
        raise invalid("This account sells subscriptions only.", "mode")
    lines = _lines(books, forms.array(params, "line_items"))
    key, now = new_id("cs_test", 58), books.now()
    customer = forms.text(params, "customer")
    if customer is not None:
        live_customer(books, customer, "customer")
    expires = forms.integer(params, "expires_at", least=now + 1800, most=now + DAY) or now + DAY
    total = sum(price["unit_amount"] * quantity for price, quantity in lines)
    data = forms.structure(params, "subscription_data")
    forms.only(data, ("metadata", "description"), "subscription_data")
    session: Document = {
        "id": key,
        "object": "checkout.session",
        "amount_subtotal": total,
        "amount_total": total,
        "cancel_url": _url(params, "cancel_url"),
        "client_reference_id": forms.text(params, "client_reference_id", most=200),
        "client_secret": None,
        "created": now,
        "currency": lines[0][0]["currency"],
        "customer": customer,
        "customer_creation": None if customer else "always",
        "customer_details": None,
        "customer_email": forms.text(params, "customer_email", most=512),
        "expires_at": expires,
        "invoice": None,
        "livemode": False,
        "locale": forms.text(params, "locale"),
        "metadata": forms.metadata(params),
        "mode": mode,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "setup_intent": None,
        "status": "open",
        "subscription": None,
        "success_url": _url(params, "success_url", need=True),
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted",
        "url": f"{public_url}/pay/{key}",
    }
    order = {
        "id": key,
        "lines": [{"price": price["id"], "quantity": quantity} for price, quantity in lines],
        "metadata": forms.metadata(data),
        "description": forms.text(data, "description"),
    }
    with books.store.transaction():
        books.store.put("checkout.order", key, order)
        return books.put(session)


def _url(params: Params, name: str, *, need: bool = False) -> str | None:
    value = forms.required(params, name) if need else forms.text(params, name)
    if value is not None and urlsplit(value).scheme not in ("http", "https"):
        raise invalid("Not a valid URL", name, code="url_invalid")
    return value


def _lines(books: Books, given: list[Params]) -> list[Line]:
    if not given:
        raise missing("line_items")
    lines: list[Line] = []
    for index, item in enumerate(given):
        prefix = f"line_items[{index}]"
        if not isinstance(item, dict):
            raise invalid("Invalid object", prefix)
        forms.only(item, ("price", "price_data", "quantity"), prefix)
        if "price_data" in item:
            price = create_price(books, forms.structure(item, "price_data"))
        else:
            price = books.get("price", forms.required(item, "price"), f"{prefix}[price]")
        if not price["active"]:
            raise invalid(f"The price {price['id']} is inactive.", f"{prefix}[price]")
        if price["type"] != "recurring":
            message = "You must provide at least one recurring price in `subscription` mode."
            raise invalid(message, "line_items")
        quantity = forms.integer(item, "quantity", least=1, most=999_999)
        if quantity is None:
            raise missing(f"{prefix}[quantity]")
        lines.append((price, quantity))
    return lines


def line_items(books: Books, key: str) -> list[Document]:
    """What a session sells, as GET /v1/checkout/sessions/{id}/line_items shows it."""
    books.get("checkout.session", key)
    order = books.store.get("checkout.order", key) or {"lines": []}
    shown = []
    for number, line in enumerate(order["lines"]):
        price = books.get("price", line["price"])
        amount = price["unit_amount"] * line["quantity"]
        shown.append(
            {
                "id": f"li_{key[-20:]}{number}",
                "object": "item",
                "amount_discount": 0,
                "amount_subtotal": amount,
                "amount_tax": 0,
                "amount_total": amount,
                "currency": price["currency"],
                "description": price["nickname"] or books.get("product", price["product"])["name"],
                "price": price,
                "quantity": line["quantity"],
            }
        )
    return shown


def pay(books: Books, key: str, *, email: str | None = None) -> Document:
    """The buyer pays: customer, subscription and paid invoice are made, then their events. Raises StripeError."""
    session = _open_session(books, key)
    order = books.store.get("checkout.order", key) or {"lines": [], "metadata": {}, "description": None}
    with books.store.transaction():
        buyer = session["customer_email"] or email or "buyer@outside.test"
        if session["customer"] is None:
            customer = books.put(new_customer(books, buyer))
        else:
            customer = books.get("customer", session["customer"])
        lines = [(books.get("price", line["price"]), int(line["quantity"])) for line in order["lines"]]
        subscription = start_subscription(
            books, customer, lines, metadata=order["metadata"], description=order["description"]
        )
        invoice = make_invoice(books, subscription, reason="subscription_create", paid=True)
        subscription = books.put(subscription | {"latest_invoice": invoice["id"]})
        session = books.put(
            session
            | {
                "status": "complete",
                "payment_status": "paid",
                "customer": customer["id"],
                "customer_details": {
                    "address": {"city": None, "country": "FR", "line1": None, "line2": None}
                    | {"postal_code": None, "state": None},
                    "email": customer["email"],
                    "name": customer["name"],
                    "phone": None,
                    "tax_exempt": "none",
                    "tax_ids": [],
                },
                "subscription": subscription["id"],
                "invoice": invoice["id"],
                "url": None,
            }
        )
        books.emit("checkout.session.completed", session)
        books.emit("customer.subscription.created", subscription)
        books.emit("invoice.paid", invoice)
    return session


def expire(books: Books, key: str) -> Document:
    """POST /v1/checkout/sessions/{id}/expire. Raises StripeError."""
    expired = books.put(_open_session(books, key) | {"status": "expired", "url": None})
    books.emit("checkout.session.expired", expired)
    return expired


def _open_session(books: Books, key: str) -> Document:
    session = books.get("checkout.session", key)
    if session["status"] != "open":
        message = (
            f'Only Checkout Sessions with a status in ["open"] can do this; this one is {session["status"]}.'
        )
        raise StripeError(400, message)
    return session
