"""Subscriptions, in the shape of API 2025-03 "basil" and later: the period is on the items.

Source: https://docs.stripe.com/api/subscriptions/object
"""

from __future__ import annotations

from typing import Any

from sandbox.stripe import forms
from sandbox.stripe.books import Books, Document, new_id
from sandbox.stripe.catalogue import INTERVAL_SECONDS
from sandbox.stripe.errors import StripeError, invalid, missing
from sandbox.stripe.forms import Params
from sandbox.stripe.invoices import make_invoice

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
