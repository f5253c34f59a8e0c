"""Products, prices and customers."""

from __future__ import annotations

import re
from typing import Any

from sandbox.stripe import forms
from sandbox.stripe.books import Books, Document, new_id
from sandbox.stripe.errors import StripeError, invalid, missing
from sandbox.stripe.forms import Params

INTERVALS = ("day", "week", "month", "year")
INTERVAL_SECONDS = {"day": 86_400, "week": 604_800, "month": 2_592_000, "year": 31_536_000}


def create_product(books: Books, params: Params) -> Document:
    """POST /v1/products. Raises StripeError."""
    forms.only(
        params, ("id", "name", "description", "active", "metadata", "tax_code", "images", "url", "expand")
    )
    key = forms.text(params, "id") or new_id("prod", 14)
    if books.store.get("product", key) is not None:
        raise invalid("Product already exists.", "id", code="resource_already_exists")
    return books.put(
        {
            "id": key,
            "object": "product",
            "active": _default(forms.boolean(params, "active"), True),
            "created": books.now(),
            "default_price": None,
            "description": forms.text(params, "description"),
            "images": forms.array(params, "images"),
            "livemode": False,
            "marketing_features": [],
            "metadata": forms.metadata(params),
            "name": forms.required(params, "name"),
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": forms.text(params, "tax_code"),
            "type": "service",
            "unit_label": None,
            "updated": books.now(),
            "url": forms.text(params, "url"),
        }
    )


def update_product(books: Books, key: str, params: Params) -> Document:
    """POST /v1/products/{id}."""
    forms.only(params, ("name", "description", "active", "metadata", "url", "expand"))
    product = books.get("product", key)
    for field in ("name", "description", "url"):
        if field in params:
            product[field] = forms.text(params, field)
    product["active"] = _default(forms.boolean(params, "active"), product["active"])
    product["metadata"] = forms.metadata(params, product["metadata"])
    return books.put(product | {"updated": books.now()})


def create_price(books: Books, params: Params) -> Document:
    """POST /v1/prices."""
    known = (
        "active currency expand lookup_key metadata nickname product product_data recurring tax_behavior"
        " transfer_lookup_key unit_amount"
    )
    forms.only(params, known.split())
    if "product_data" in params:
        product = create_product(books, forms.structure(params, "product_data"))["id"]
    else:
        product = books.get("product", forms.required(params, "product"), "product")["id"]
    lookup_key = forms.text(params, "lookup_key", most=200)
    _claim_lookup_key(books, lookup_key, transfer=forms.boolean(params, "transfer_lookup_key") or False)
    amount = forms.integer(params, "unit_amount")
    if amount is None:
        raise missing("unit_amount")
    currency = forms.required(params, "currency")
    if not re.fullmatch(r"[a-z]{3}", currency):
        raise invalid(f"Invalid currency: {currency}", "currency")
    recurring = _recurring(forms.structure(params, "recurring"))
    return books.put(
        {
            "id": new_id("price"),
            "object": "price",
            "active": _default(forms.boolean(params, "active"), True),
            "billing_scheme": "per_unit",
            "created": books.now(),
            "currency": currency,
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": lookup_key,
            "metadata": forms.metadata(params),
            "nickname": forms.text(params, "nickname"),
            "product": product,
            "recurring": recurring,
            "tax_behavior": forms.text(params, "tax_behavior") or "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount),
        }
    )


def update_price(books: Books, key: str, params: Params) -> Document:
    """POST /v1/prices/{id}. What it costs never changes: only these can be given."""
    forms.only(
        params,
        ("active", "lookup_key", "metadata", "nickname", "tax_behavior", "transfer_lookup_key", "expand"),
    )
    price = books.get("price", key)
    if "lookup_key" in params:
        lookup_key = forms.text(params, "lookup_key", most=200)
        if lookup_key != price["lookup_key"]:
            transfer = forms.boolean(params, "transfer_lookup_key") or False
            _claim_lookup_key(books, lookup_key, transfer=transfer)
        price["lookup_key"] = lookup_key
    if "nickname" in params:
        price["nickname"] = forms.text(params, "nickname")
    price["active"] = _default(forms.boolean(params, "active"), price["active"])
    price["metadata"] = forms.metadata(params, price["metadata"])
    return books.put(price)


def _claim_lookup_key(books: Books, lookup_key: str | None, *, transfer: bool) -> None:
    if lookup_key is None:
        return
    for price in books.list("price"):
        if price["lookup_key"] == lookup_key:
            if not transfer:
                raise invalid(f"A price (`{price['id']}`) already uses that lookup key.", "lookup_key")
            books.put(price | {"lookup_key": None})


def _recurring(given: Params) -> Document | None:
    if not given:
        return None
    forms.only(given, ("interval", "interval_count", "usage_type", "trial_period_days"), "recurring")
    interval = forms.choice(given, "interval", INTERVALS)
    if interval is None:
        raise missing("recurring[interval]")
    return {
        "interval": interval,
        "interval_count": forms.integer(given, "interval_count", least=1, most=36) or 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def create_customer(books: Books, params: Params) -> Document:
    """POST /v1/customers."""
    forms.only(
        params,
        ("email", "name", "description", "metadata", "phone", "address", "preferred_locales", "expand"),
    )
    return books.put(new_customer(books, forms.text(params, "email", most=512), params))


def new_customer(books: Books, email: str | None, params: Params | None = None) -> Document:
    """A customer, not kept yet."""
    given = params or {}
    return {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": forms.structure(given, "address") or None,
        "balance": 0,
        "created": books.now(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": forms.text(given, "description"),
        "discount": None,
        "email": email,
        "invoice_prefix": new_id("X", 7)[2:].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": forms.metadata(given),
        "name": forms.text(given, "name"),
        "next_invoice_sequence": 1,
        "phone": forms.text(given, "phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def update_customer(books: Books, key: str, params: Params) -> Document:
    """POST /v1/customers/{id}."""
    forms.only(params, ("email", "name", "description", "metadata", "phone", "expand"))
    customer = live_customer(books, key)
    for field in ("email", "name", "description", "phone"):
        if field in params:
            customer[field] = forms.text(params, field)
    customer["metadata"] = forms.metadata(params, customer["metadata"])
    return books.put(customer)


def live_customer(books: Books, key: str, param: str = "id") -> Document:
    """A customer that was not deleted. Raises StripeError."""
    customer = books.get("customer", key, param)
    if customer.get("deleted"):
        raise StripeError(
            404 if param == "id" else 400, f"No such customer: '{key}'", code="resource_missing", param=param
        )
    return customer


def _default(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
