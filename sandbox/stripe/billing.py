"""Subscriptions and invoices, in the shapes of API 2025-03 "basil" and later.

The period of a subscription is on its items, an invoice names its subscription below ``parent``.
Source: https://docs.stripe.com/api/subscriptions/object, https://docs.stripe.com/api/invoices/object
"""

from __future__ import annotations

from typing import Any

from sandbox.stripe import forms
from sandbox.stripe.books import Books, Document, new_id
from sandbox.stripe.catalogue import INTERVAL_SECONDS
from sandbox.stripe.errors import StripeError, invalid, missing
from sandbox.stripe.forms import Params

Line = tuple[Document, int]  # price and quantity


def period_end(start: int, price: Document) -> int:
    recurring = price["recurring"]
    return start + INTERVAL_SECONDS[recurring["interval"]] * int(recurring["interval_count"])


def start_subscription(
    books: Books, customer: Document, lines: list[Line], *, metadata: dict[str, str], description: str | None
) -> Document:
    """An active subscription whose first period begins now; the invoice is the caller's to make."""
    key, now = new_id("sub"), books.now()
    items: list[Document] = [
        {
            "id": new_id("si", 14),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": now,
            "current_period_end": period_end(now, price),
            "current_period_start": now,
            "discounts": [],
            "metadata": {},
            "plan": None,
            "price": price,
            "quantity": quantity,
            "subscription": key,
            "tax_rates": [],
        }
        for price, quantity in lines
    ]
    return books.put(
        {
            "id": key,
            "object": "subscription",
            "application": None,
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": now,
            "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": {"comment": None, "feedback": None, "reason": None},
            "collection_method": "charge_automatically",
            "created": now,
            "currency": lines[0][0]["currency"],
            "customer": customer["id"],
            "customer_account": None,
            "days_until_due": None,
            "default_payment_method": new_id("pm"),
            "default_source": None,
            "default_tax_rates": [],
            "description": description,
            "discounts": [],
            "ended_at": None,
            "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
            "items": {
                "object": "list",
                "data": items,
                "has_more": False,
                "total_count": len(items),
                "url": f"/v1/subscription_items?subscription={key}",
            },
            "latest_invoice": None,
            "livemode": False,
            "metadata": metadata,
            "next_pending_invoice_item_invoice": None,
            "on_behalf_of": None,
            "pause_collection": None,
            "payment_settings": {
                "payment_method_options": None,
                "payment_method_types": None,
                "save_default_payment_method": "off",
            },
            "pending_invoice_item_interval": None,
            "pending_setup_intent": None,
            "pending_update": None,
            "schedule": None,
            "start_date": now,
            "status": "active",
            "test_clock": None,
            "transfer_data": None,
            "trial_end": None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": None,
        }
    )


def make_invoice(books: Books, subscription: Document, *, reason: str, paid: bool) -> Document:
    """The invoice of the subscription's current period, paid or with a failed attempt."""
    key, now = new_id("in"), books.now()
    total = sum(item["price"]["unit_amount"] * item["quantity"] for item in subscription["items"]["data"])
    customer = books.get("customer", subscription["customer"])
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    sequence = customer["next_invoice_sequence"]
    books.put(customer | {"next_invoice_sequence": sequence + 1, "delinquent": not paid})
    invoice = books.put(
        {
            "id": key,
            "object": "invoice",
            "account_country": "FR",
            "account_name": "SendChief sandbox",
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": total if paid else 0,
            "amount_remaining": 0 if paid else total,
            "attempt_count": 1,
            "attempted": True,
            "auto_advance": not paid,
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": subscription["currency"],
            "customer": customer["id"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "description": None,
            "due_date": None,
            "ending_balance": 0,
            "hosted_invoice_url": f"{books.public_url}/invoice/{key}",
            "invoice_pdf": f"{books.public_url}/invoice/{key}?format=pdf",
            "lines": {
                "object": "list",
                "data": [_line(key, item, subscription) for item in subscription["items"]["data"]],
                "has_more": False,
                "total_count": len(subscription["items"]["data"]),
                "url": f"/v1/invoices/{key}/lines",
            },
            "livemode": False,
            "metadata": {},
            "next_payment_attempt": None if paid else now + 3 * 86_400,
            "number": f"{customer['invoice_prefix']}-{sequence:04d}",
            "parent": {
                "quote_details": None,
                "subscription_details": details,
                "type": "subscription_details",
            },
            "period_end": now,
            "period_start": now,
            "starting_balance": 0,
            "status": "paid" if paid else "open",
            "status_transitions": {
                "finalized_at": now,
                "marked_uncollectible_at": None,
                "paid_at": now if paid else None,
                "voided_at": None,
            },
            "subtotal": total,
            "total": total,
            "total_taxes": [],
        }
    )
    _record_payment(books, invoice, paid=paid)
    return invoice


def _record_payment(books: Books, invoice: Document, *, paid: bool) -> None:
    books.put(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": invoice["amount_paid"],
            "amount_requested": invoice["amount_due"],
            "created": books.now(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": new_id("pi"), "type": "payment_intent"},
            "status": "paid" if paid else "open",
            "status_transitions": {"canceled_at": None, "paid_at": books.now() if paid else None},
        }
    )


def _line(invoice: str, item: Document, subscription: Document) -> Document:
    amount = item["price"]["unit_amount"] * item["quantity"]
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": subscription["currency"],
        "description": f"{item['quantity']} x {item['price']['nickname'] or item['price']['product']}",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": subscription["metadata"],
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": item["current_period_end"], "start": item["current_period_start"]},
        "pretax_credit_amounts": [],
        "pricing": {
            "price_details": {"price": item["price"]["id"], "product": item["price"]["product"]},
            "type": "price_details",
            "unit_amount_decimal": item["price"]["unit_amount_decimal"],
        },
        "quantity": item["quantity"],
        "taxes": [],
    }


def update_subscription(books: Books, key: str, params: Params) -> Document:
    """POST /v1/subscriptions/{id}: metadata, description and cancellation at the period's end. Raises StripeError."""
    known = "cancel_at_period_end metadata description cancellation_details pause_collection expand"
    forms.only(params, known.split())
    old = _open_subscription(books, key)
    new = old | {"metadata": forms.metadata(params, old["metadata"])}
    if "description" in params:
        new["description"] = forms.text(params, "description")
    if "pause_collection" in params:
        new["pause_collection"] = _pause(params)
    at_end = forms.boolean(params, "cancel_at_period_end")
    if at_end is not None and at_end != old["cancel_at_period_end"]:
        end = max(item["current_period_end"] for item in old["items"]["data"])
        new |= {
            "cancel_at_period_end": at_end,
            "cancel_at": end if at_end else None,
            "canceled_at": books.now() if at_end else None,
            "cancellation_details": _details(params, "cancellation_requested" if at_end else None),
        }
    changed: dict[str, Any] = {field: old[field] for field in new if old[field] != new[field]}
    if changed:
        books.put(new)
        books.emit("customer.subscription.updated", new, changed)
    return new


def _pause(params: Params) -> Document | None:
    """``pause_collection``: an object, or empty to collect again."""
    given = forms.structure(params, "pause_collection")
    if not given:
        return None
    forms.only(given, ("behavior", "resumes_at"), "pause_collection")
    behavior = forms.choice(given, "behavior", ("keep_as_draft", "mark_uncollectible", "void"))
    if behavior is None:
        raise missing("pause_collection[behavior]")
    return {"behavior": behavior, "resumes_at": forms.integer(given, "resumes_at", most=2**40)}


def cancel_subscription(books: Books, key: str, params: Params) -> Document:
    """DELETE /v1/subscriptions/{id}: ends at once. Raises StripeError."""
    forms.only(params, ("invoice_now", "prorate", "cancellation_details", "expand"))
    return _end(books, key, _details(params, "cancellation_requested"))


def give_up(books: Books, key: str) -> Document:
    """The last retry of a payment has failed: the subscription ends, as the account is set up. Raises StripeError."""
    if _open_subscription(books, key)["status"] != "past_due":
        raise invalid("Only a subscription that is past due is given up.", "id")
    return _end(books, key, _details({}, "payment_failed"))


def _end(books: Books, key: str, details: Document) -> Document:
    ended = _open_subscription(books, key) | {
        "status": "canceled",
        "canceled_at": books.now(),
        "ended_at": books.now(),
        "cancellation_details": details,
    }
    books.put(ended)
    books.emit("customer.subscription.deleted", ended)
    return ended


def renew(books: Books, key: str, *, paid: bool) -> Document:
    """The next period's invoice: paid, or failed with the subscription past due."""
    old = _open_subscription(books, key)
    new = old | {"items": {**old["items"], "data": [dict(item) for item in old["items"]["data"]]}}
    for item in new["items"]["data"]:
        start = item["current_period_end"]
        item |= {"current_period_start": start, "current_period_end": period_end(start, item["price"])}
    if new["pause_collection"] is not None:
        return _void_period(books, old, new)
    new["status"] = "active" if paid else "past_due"
    invoice = make_invoice(books, new, reason="subscription_cycle", paid=paid)
    new["latest_invoice"] = invoice["id"]
    books.put(new)
    changed = {
        field: old[field] for field in ("status", "items", "latest_invoice") if old[field] != new[field]
    }
    books.emit("customer.subscription.updated", new, changed)
    books.emit("invoice.paid" if paid else "invoice.payment_failed", invoice)
    return invoice


def _void_period(books: Books, old: Document, new: Document) -> Document:
    """A period that falls due while collection is paused: its invoice is void, and nothing is charged."""
    made = make_invoice(books, new, reason="subscription_cycle", paid=False)
    transitions = made["status_transitions"] | {"voided_at": books.now()}
    invoice = books.put(
        made
        | {
            "status": "void",
            "auto_advance": False,
            "next_payment_attempt": None,
            "status_transitions": transitions,
        }
    )
    books.put(books.get("customer", invoice["customer"]) | {"delinquent": False})
    books.put(new | {"latest_invoice": invoice["id"]})
    books.emit("customer.subscription.updated", new, {"items": old["items"]})
    books.emit("invoice.voided", invoice)
    return invoice


def settle(books: Books, key: str) -> Document:
    """The customer pays an open invoice; with the latest one paid the subscription is active again. Raises
    StripeError."""
    old = books.get("invoice", key)
    if old["status"] != "open":
        raise invalid(f"Invoice is already {old['status']}.", "invoice", code="invoice_not_open")
    with books.store.transaction():
        now = books.now()
        invoice = books.put(
            old
            | {
                "status": "paid",
                "amount_paid": old["amount_due"],
                "amount_remaining": 0,
                "attempt_count": old["attempt_count"] + 1,
                "auto_advance": False,
                "next_payment_attempt": None,
                "status_transitions": old["status_transitions"] | {"paid_at": now},
            }
        )
        for payment in books.list("invoice_payment"):
            if payment["invoice"] == key:
                transitions = payment["status_transitions"] | {"paid_at": now}
                books.put(
                    payment
                    | {"status": "paid", "amount_paid": old["amount_due"], "status_transitions": transitions}
                )
        books.put(books.get("customer", old["customer"]) | {"delinquent": False})
        books.emit("invoice.paid", invoice)
        subscription = books.get("subscription", old["parent"]["subscription_details"]["subscription"])
        if subscription["latest_invoice"] == key and subscription["status"] in ("past_due", "unpaid"):
            active = books.put(subscription | {"status": "active"})
            books.emit("customer.subscription.updated", active, {"status": subscription["status"]})
    return invoice


def create_refund(books: Books, params: Params) -> Document:
    """POST /v1/refunds of an invoice's payment. Raises StripeError."""
    forms.only(params, ("payment_intent", "amount", "reason", "metadata", "expand"))
    intent = forms.required(params, "payment_intent")
    payments = [p for p in books.list("invoice_payment") if p["payment"]["payment_intent"] == intent]
    if not payments or payments[0]["status"] != "paid":
        raise invalid(f"No such payment_intent: '{intent}'", "payment_intent", code="resource_missing")
    refunded = sum(r["amount"] for r in books.list("refund") if r["payment_intent"] == intent)
    left = payments[0]["amount_paid"] - refunded
    amount = forms.integer(params, "amount", least=1)
    amount = left if amount is None else amount
    if left == 0:
        raise invalid("This payment has already been refunded.", code="charge_already_refunded")
    if amount > left:
        raise invalid("Refund amount is greater than the unrefunded amount on the payment.", "amount")
    refund = books.put(
        {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "charge": None,
            "created": books.now(),
            "currency": payments[0]["currency"],
            "metadata": forms.metadata(params),
            "payment_intent": intent,
            "reason": forms.choice(params, "reason", ("duplicate", "fraudulent", "requested_by_customer")),
            "status": "succeeded",
        }
    )
    books.emit("refund.created", refund)
    return refund


def _open_subscription(books: Books, key: str) -> Document:
    subscription = books.get("subscription", key)
    if subscription["status"] == "canceled":
        raise StripeError(404, f"No such subscription: '{key}'", code="resource_missing", param="id")
    return subscription


def _details(params: Params, reason: str | None) -> Document:
    given = forms.structure(params, "cancellation_details")
    forms.only(given, ("comment", "feedback"), "cancellation_details")
    return {
        "comment": forms.text(given, "comment"),
        "feedback": forms.text(given, "feedback"),
        "reason": reason,
    }
