"""Stripe's API for subscriptions: catalogue, Checkout, subscriptions, invoices, portal, signed webhooks."""

from sandbox.stripe.app import create_app
from sandbox.stripe.books import Books
from sandbox.stripe.webhooks import Webhooks

__all__ = ["Books", "Webhooks", "create_app"]
