"""Invoices and refunds. Since API 2025-03 "basil" an invoice names its subscription below ``parent``.

Source: https://docs.stripe.com/api/invoices/object, https://docs.stripe.com/api/refunds
"""

from __future__ import annotations

from sandbox.stripe import forms
from sandbox.stripe.books import Books, Document, new_id
from sandbox.stripe.errors import invalid
from sandbox.stripe.forms import Params


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
