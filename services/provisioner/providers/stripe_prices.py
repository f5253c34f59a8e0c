"""Products and prices at Stripe, by the official SDK. Ours are marked in their metadata; others are never touched.

Source: https://docs.stripe.com/api/products, https://docs.stripe.com/api/prices
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import stripe

from services.provisioner.ports import PaymentPrice, PaymentProduct
from services.provisioner.providers.stripe import asking

OURS = {"managed_by": "sendchief"}


class StripePrices:
    """A `PricesPort`, with the full key."""

    def __init__(self, api: stripe.StripeClient) -> None:
        self._api = api

    async def products(self) -> Sequence[PaymentProduct]:
        with asking():
            listed = await self._api.v1.products.list_async({"limit": 100})
            bodies = [each.to_dict() async for each in listed.auto_paging_iter()]
            return [
                PaymentProduct(
                    id=body["id"],
                    name=body["name"],
                    description=body.get("description") or "",
                    active=body["active"],
                )
                for body in bodies
                if _ours(body)
            ]

    async def prices(self) -> Sequence[PaymentPrice]:
        with asking():
            listed = await self._api.v1.prices.list_async({"limit": 100, "active": True})
            bodies = [each.to_dict() async for each in listed.auto_paging_iter()]
            return [
                PaymentPrice(
                    id=body["id"],
                    product=str(body["product"]),
                    lookup_key=body.get("lookup_key"),
                    amount_cents=body["unit_amount"],
                    currency=body["currency"],
                    active=True,
                )
                for body in bodies
                if _ours(body)
            ]

    async def put_product(self, product: PaymentProduct, *, new: bool) -> None:
        values: Any = product.model_dump() | {"metadata": OURS}
        with asking():
            if new:
                await self._api.v1.products.create_async(values)
            else:
                del values["id"]
                await self._api.v1.products.update_async(product.id, values)

    async def create_price(self, price: PaymentPrice) -> None:
        request: Any = {
            "product": price.product,
            "lookup_key": price.lookup_key,
            "transfer_lookup_key": True,
            "unit_amount": price.amount_cents,
            "currency": price.currency,
            "recurring": {"interval": "month"},
            "metadata": OURS,
        }
        with asking():
            await self._api.v1.prices.create_async(request)

    async def archive_price(self, price_id: str) -> None:
        with asking():
            await self._api.v1.prices.update_async(price_id, {"active": False})


def _ours(body: dict[str, Any]) -> bool:
    return (body.get("metadata") or {}).get("managed_by") == OURS["managed_by"]
