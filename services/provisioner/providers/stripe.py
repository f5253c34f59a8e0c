"""Stripe, by the official SDK: Checkout for the API process, a second look for the worker.

A webhook is believed only as a hint that there is something to look at; what counts is what Stripe answers when asked.
Source: https://docs.stripe.com/api, version as pinned by the SDK. Since "basil" (2025-03) an invoice names its
subscription under `parent.subscription_details`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import stripe
from pydantic import SecretStr

from services.provisioner.ports import (
    CheckoutSession,
    PaymentError,
    PaymentInvoice,
    PaymentPage,
    PaymentSubscription,
)

TIMEOUT = 15.0
RETRYABLE = (stripe.APIConnectionError, stripe.RateLimitError, stripe.IdempotencyError)


def client(key: SecretStr, url: str, ca_file: Path | None) -> stripe.StripeClient:
    """`ca_file` replaces the SDK's own bundle of authorities; it is process-wide in the SDK."""
    if ca_file is not None:
        stripe.ca_bundle_path = str(ca_file)
    return stripe.StripeClient(
        key.get_secret_value(),
        base_addresses={"api": url},
        http_client=stripe.HTTPXClient(timeout=TIMEOUT),
        max_network_retries=2,
    )


def _failed(error: stripe.StripeError) -> PaymentError:
    status = error.http_status or 0
    retryable = isinstance(error, RETRYABLE) or status >= 500 or status == 429
    return PaymentError(f"{type(error).__name__} {status} {error.code or ''}".strip(), retryable=retryable)


@contextmanager
def asking() -> Iterator[None]:
    """Whatever goes wrong is a PaymentError, an answer of another shape than documented included."""
    try:
        yield
    except stripe.StripeError as error:
        raise _failed(error) from error
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PaymentError(f"the answer is not understood: {type(error).__name__}", retryable=True) from error


class StripeCheckout:
    """A `CheckoutPort`. Its key is restricted to Checkout sessions and the customer portal."""

    def __init__(self, api: stripe.StripeClient, public_url: str) -> None:
        self._api = api
        self._public_url = public_url.rstrip("/")

    async def create_checkout(
        self, *, subscription_id: str, workspace_id: str, price_id: str, customer_id: str | None
    ) -> CheckoutSession:
        ours = {"subscription_id": subscription_id, "workspace_id": workspace_id}
        page = f"{self._public_url}/checkout/{subscription_id}"
        request: Any = {
            "mode": "subscription",
            "line_items": [{"quantity": 1, "price": price_id}],
            "client_reference_id": subscription_id,
            "metadata": ours,
            "subscription_data": {"metadata": ours},
            "success_url": f"{page}/paid",
            "cancel_url": f"{page}/abandoned",
        }
        if customer_id is not None:
            request["customer"] = customer_id
        with asking():
            session = await self._api.v1.checkout.sessions.create_async(
                request, {"idempotency_key": subscription_id}
            )
            return CheckoutSession(id=session.id, url=session.url or "")

    async def open_portal(self, *, customer_id: str, workspace_id: str) -> str:
        back = f"{self._public_url}/workspaces/{workspace_id}/billing"
        with asking():
            portal = await self._api.v1.billing_portal.sessions.create_async(
                {"customer": customer_id, "return_url": back}
            )
            return CheckoutSession(id=portal.id, url=portal.url).url


class StripeBilling:
    """A `BillingPort`, with the full key."""

    def __init__(self, api: stripe.StripeClient) -> None:
        self._api = api

    async def page(self, checkout_session_id: str) -> PaymentPage:
        with asking():
            found = await self._api.v1.checkout.sessions.retrieve_async(checkout_session_id)
            body = found.to_dict()
            return PaymentPage(id=body["id"], status=str(body["status"]), metadata=_metadata(body))

    async def invoice(self, invoice_id: str) -> PaymentInvoice:
        with asking():
            found = await self._api.v1.invoices.retrieve_async(invoice_id)
            return _invoice(found.to_dict())

    async def subscription(self, subscription_id: str) -> PaymentSubscription:
        with asking():
            found = await self._api.v1.subscriptions.retrieve_async(
                subscription_id, {"expand": ["latest_invoice"]}
            )
            return _subscription(found.to_dict())

    async def subscriptions(self) -> Sequence[PaymentSubscription]:
        query: Any = {"status": "all", "limit": 100, "expand": ["data.latest_invoice"]}
        with asking():
            listed = await self._api.v1.subscriptions.list_async(query)
            return [_subscription(each.to_dict()) async for each in listed.auto_paging_iter()]

    async def end_subscription(self, subscription_id: str) -> None:
        try:
            await self._api.v1.subscriptions.cancel_async(subscription_id)
        except stripe.InvalidRequestError as error:
            if (
                error.code != "resource_missing"
                and (await self.subscription(subscription_id)).status != "canceled"
            ):
                raise _failed(error) from error
        except stripe.StripeError as error:
            raise _failed(error) from error

    async def hold_collection(self, subscription_id: str, *, held: bool) -> None:
        request: Any = {"pause_collection": {"behavior": "void"} if held else ""}
        try:
            await self._api.v1.subscriptions.update_async(subscription_id, request)
        except stripe.StripeError as error:
            if error.code != "resource_missing":
                raise _failed(error) from error

    async def refund(self, subscription_id: str, *, key: str) -> int:
        with asking():
            query: Any = {"subscription": subscription_id, "status": "paid", "limit": 100}
            invoices = await self._api.v1.invoices.list_async(query)
            paid = [invoice.id async for invoice in invoices.auto_paging_iter()]
        return sum([await self._refund_invoice(str(invoice_id), key) for invoice_id in paid])

    async def _refund_invoice(self, invoice_id: str, key: str) -> int:
        with asking():
            payments = await self._api.v1.invoice_payments.list_async({"invoice": invoice_id, "limit": 100})
            bodies = [each.to_dict() async for each in payments.auto_paging_iter()]
        intents = [body["payment"].get("payment_intent") for body in bodies if body["status"] == "paid"]
        return sum([await self._refund_payment(intent, key) for intent in map(_id, intents) if intent])

    async def _refund_payment(self, intent: str, key: str) -> int:
        with asking():
            try:
                await self._api.v1.refunds.create_async(
                    {"payment_intent": intent, "reason": "requested_by_customer"},
                    {"idempotency_key": f"{key}:{intent}"},
                )
            except stripe.InvalidRequestError as error:
                if error.code != "charge_already_refunded":
                    raise
            refunds = await self._api.v1.refunds.list_async({"payment_intent": intent, "limit": 100})
            bodies = [each.to_dict() async for each in refunds.auto_paging_iter()]
            return sum(body["amount"] for body in bodies if body["status"] not in ("failed", "canceled"))


def _invoice(body: dict[str, Any]) -> PaymentInvoice:
    details = (body.get("parent") or {}).get("subscription_details") or {}
    return PaymentInvoice(
        id=body["id"],
        status=str(body.get("status")),
        stripe_subscription_id=_id(details.get("subscription")),
        number=body.get("number"),
        amount_due=body.get("amount_due") or 0,
        amount_paid=body.get("amount_paid") or 0,
        currency=body.get("currency") or "eur",
        created_at=_moment(body.get("created")),
        hosted_url=_page(body.get("hosted_invoice_url")),
        pdf_url=_page(body.get("invoice_pdf")),
    )


def _subscription(body: dict[str, Any]) -> PaymentSubscription:
    latest = body.get("latest_invoice")
    items = (body.get("items") or {}).get("data") or []
    prices = [(item.get("price") or {}, item.get("quantity") or 1) for item in items]
    ends = [item["current_period_end"] for item in items if item.get("current_period_end")]
    return PaymentSubscription(
        id=body["id"],
        status=str(body["status"]),
        customer_id=_id(body.get("customer")),
        metadata=_metadata(body),
        created_at=_moment(body.get("created")),
        latest_invoice_id=_id(latest),
        latest_invoice_status=latest.get("status") if isinstance(latest, dict) else None,
        amount_cents=sum((price.get("unit_amount") or 0) * count for price, count in prices)
        if prices
        else None,
        currency=body.get("currency"),
        period_end=_moment(min(ends, default=None)),
        cancel_at=_moment(body.get("cancel_at")),
    )


def _metadata(body: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in (body.get("metadata") or {}).items()}


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _page(url: str | None) -> str | None:
    """A link that is shown to people: a page, whatever the provider says."""
    return url if url is not None and url.startswith("https://") and len(url) <= 4096 else None


def _id(value: Any) -> str | None:
    """An expandable field: the id, or the object with one."""
    if isinstance(value, dict):
        value = value.get("id")
    return str(value) if value else None
