"""The plans' prices at the payment provider: what the file says is what is sold there.

Level-triggered: each run looks at all products and prices of ours and makes the difference good, so that it may break
off anywhere. What is sold now is written into `price`, where the API finds what to send a buyer to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert

from services.provisioner.models import Price
from services.provisioner.plans import Catalogue, Plan
from services.provisioner.ports import PaymentPrice, PaymentProduct, PricesPort
from shared.db.database import Database
from shared.observability.logging import get_logger

_log = get_logger("prices")


@dataclass(frozen=True)
class Change:
    """One difference. `subject` is the product or price; `detail` is for people."""

    what: Literal["create_product", "update_product", "archive_product", "create_price", "archive_price"]
    subject: str
    detail: str
    product: PaymentProduct | None = None
    price: PaymentPrice | None = None


def changes(
    catalogue: Catalogue, products: Sequence[PaymentProduct], prices: Sequence[PaymentPrice]
) -> list[Change]:
    """What has to be done, in order: new prices before the old ones go."""
    found: list[Change] = []
    known = {product.id: product for product in products}
    for plan in catalogue.plans:
        wanted = PaymentProduct(
            id=plan.product, name=f"SendChief {plan.name}", description=plan.description, active=True
        )
        held = known.get(plan.product)
        if held is None:
            found.append(Change("create_product", wanted.id, wanted.name, product=wanted))
        elif held != wanted:
            found.append(Change("update_product", wanted.id, wanted.name, product=wanted))
        if _current(plan, prices) is None:
            found.append(Change("create_price", plan.lookup_key, _money(plan), price=_price(plan)))
    sold = {price.id for plan in catalogue.plans if (price := _current(plan, prices)) is not None}
    found += [
        Change("archive_price", price.id, f"{price.amount_cents} {price.currency}", price=price)
        for price in prices
        if price.id not in sold
    ]
    offered = {plan.product for plan in catalogue.plans}
    found += [
        Change(
            "archive_product", product.id, product.name, product=product.model_copy(update={"active": False})
        )
        for product in products
        if product.id not in offered and product.active
    ]
    return found


def _current(plan: Plan, prices: Sequence[PaymentPrice]) -> PaymentPrice | None:
    """The price that the plan is sold at, should it be there already."""
    wanted = _price(plan)
    return next(
        (price for price in prices if price.model_copy(update={"id": ""}) == wanted),
        None,
    )


def _price(plan: Plan) -> PaymentPrice:
    return PaymentPrice(
        id="",
        product=plan.product,
        lookup_key=plan.lookup_key,
        amount_cents=plan.amount_cents,
        currency=plan.currency,
        active=True,
    )


def _money(plan: Plan) -> str:
    return f"{plan.amount_cents} {plan.currency}"


class Prices:
    """`run` may be called by several workers at once: the next run puts right what two did twice."""

    def __init__(self, database: Database, catalogue: Catalogue, port: PricesPort) -> None:
        self._database = database
        self._catalogue = catalogue
        self._port = port

    async def run(self, *, dry_run: bool = False) -> list[Change]:
        """What was, or with `dry_run` would be, done. Raises PaymentError."""
        todo = changes(self._catalogue, await self._port.products(), await self._port.prices())
        if dry_run:
            return todo
        for change in todo:
            await self._carry_out(change)
            _log.info("price changed", what=change.what, subject=change.subject, detail=change.detail)
        await self._remember(await self._port.prices())
        return todo

    async def _carry_out(self, change: Change) -> None:
        if change.product is not None:
            await self._port.put_product(change.product, new=change.what == "create_product")
        elif change.price is not None and change.what == "create_price":
            await self._port.create_price(change.price)
        elif change.price is not None:
            await self._port.archive_price(change.price.id)

    async def _remember(self, prices: Sequence[PaymentPrice]) -> None:
        """What the API may sell: a plan without a price at the provider cannot be bought."""
        sold = {plan.id: found for plan in self._catalogue.plans if (found := _current(plan, prices))}
        async with self._database.transaction() as session:
            await session.execute(delete(Price).where(Price.plan.not_in(sold)))
            for plan_id, price in sold.items():
                values = {
                    "price_id": price.id,
                    "amount_cents": price.amount_cents,
                    "currency": price.currency,
                    "seen_at": func.now(),
                }
                await session.execute(
                    insert(Price)
                    .values(plan=plan_id, **values)
                    .on_conflict_do_update(index_elements=["plan"], set_=values)
                )
