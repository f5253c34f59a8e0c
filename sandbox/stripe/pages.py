"""The pages that Stripe hosts: the payment page of a Checkout session and the billing portal.

Plain HTML forms; nothing is sent anywhere but to this process.
"""

from __future__ import annotations

import html
from urllib.parse import quote

from sandbox.stripe.books import Books, Document

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#1a1f36}}
button{{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;background:#635bff;color:#fff}}
table{{width:100%;border-collapse:collapse}}td{{padding:.4rem 0;border-bottom:1px solid #e3e8ee}}
td:last-child{{text-align:right}}small{{color:#697386}}</style></head>
<body><small>Payment stand-in: no money moves</small><h1>{title}</h1>{body}</body></html>"""


def payment_page(session: Document, lines: list[Document]) -> str:
    """What is sold, and a button that pays."""
    rows = "".join(
        f"<tr><td>{html.escape(str(line['description']))} &times; {line['quantity']}</td>"
        f"<td>{_money(line['amount_total'], line['currency'])}</td></tr>"
        for line in lines
    )
    form = '<form method="post"><button>Pay</button></form>'
    if session["status"] != "open":
        form = f"<p>This session is {html.escape(session['status'])}.</p>"
    total = f"<tr><td>Total</td><td>{_money(session['amount_total'], session['currency'])}</td></tr>"
    return _PAGE.format(title="Checkout", body=f"<table>{rows}{total}</table><p></p>{form}")


def invoice_page(invoice: Document) -> str:
    """What is owed or was paid; an open invoice can be paid."""
    rows = "".join(
        f"<tr><td>{html.escape(line['description'])}</td><td>{_money(line['amount'], line['currency'])}</td></tr>"
        for line in invoice["lines"]["data"]
    )
    button = '<form method="post"><button>Pay</button></form>' if invoice["status"] == "open" else ""
    state = f"<p>{html.escape(invoice['status'])}</p>"
    title = f"Invoice {html.escape(str(invoice['number']))}"
    return _PAGE.format(title=title, body=f"<table>{rows}</table>{state}{button}")


def portal_page(books: Books, portal: Document) -> str:
    """The customer's subscriptions, each with a button that ends it at the period's end."""
    rows = ""
    for subscription in books.list("subscription"):
        if subscription["customer"] != portal["customer"]:
            continue
        state = "ends at the period's end" if subscription["cancel_at_period_end"] else subscription["status"]
        button = ""
        if subscription["status"] != "canceled" and not subscription["cancel_at_period_end"]:
            value = html.escape(subscription["id"])
            button = f'<form method="post"><button name="cancel" value="{value}">Cancel</button></form>'
        name = html.escape(subscription["id"])
        rows += f"<tr><td>{name}<br><small>{state}</small></td><td>{button}</td></tr>"
    back = f'<p><a href="{html.escape(portal["return_url"] or "#")}">Return</a></p>'
    return _PAGE.format(title="Subscriptions", body=f"<table>{rows}</table>{back}")


def success_location(session: Document) -> str:
    """``success_url`` with its placeholder filled."""
    location: str = session["success_url"]
    return location.replace("{CHECKOUT_SESSION_ID}", quote(session["id"]))


def _money(amount: int, currency: str) -> str:
    return f"{amount / 100:.2f} {html.escape(currency.upper())}"
