"""Products and prices at Stripe's stand-in follow the file of plans."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from services.provisioner.billing.prices import Prices
from services.provisioner.plans import Catalogue
from tests.provisioner.billing.money import Money, money
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import account

__all__ = ["account", "https", "money"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


def dearer(money: Money, amount_cents: int) -> Catalogue:
    """The plans with another price of the first one."""
    catalogue = money.api.stage.ports.catalogue
    first = catalogue.plans[0].model_copy(update={"amount_cents": amount_cents})
    return catalogue.model_copy(update={"plans": (first, *catalogue.plans[1:])})


def syncing(money: Money, catalogue: Catalogue | None = None) -> Prices:
    return Prices(money.database, catalogue or money.api.stage.ports.catalogue, money.prices)


async def sold(money: Money, lookup_key: str) -> list[Any]:
    listed = await money.account.sdk().v1.prices.list_async({"lookup_keys": [lookup_key], "active": True})
    return list(listed.data)


async def test_each_plan_has_one_product_and_one_price_and_a_second_run_does_nothing(money: Money) -> None:
    (price,) = await sold(money, "starter_month_eur")
    assert (price.unit_amount, price.currency, price.recurring.interval) == (2900, "eur", "month")
    assert (
        await money.account.sdk().v1.products.retrieve_async("sendchief_starter")
    ).name == "SendChief Starter"
    before = money.account.books.view()
    assert await syncing(money).run() == []
    assert money.account.books.view() == before


async def test_a_dry_run_tells_and_changes_nothing(money: Money) -> None:
    before = money.account.books.view()
    told = await syncing(money, dearer(money, 3100)).run(dry_run=True)
    assert [change.what for change in told] == ["create_price", "archive_price"]
    assert money.account.books.view() == before


async def test_another_amount_is_a_new_price_the_old_one_is_archived_and_its_buyers_keep_it(
    money: Money,
) -> None:
    bought, stripe_id = await money.paid()
    (old,) = await sold(money, "starter_month_eur")
    await syncing(money, dearer(money, 3900)).run()
    (new,) = await sold(money, "starter_month_eur")
    assert (new.unit_amount, new.id != old.id) == (3900, True)
    archived = await money.account.sdk().v1.prices.retrieve_async(old.id)
    assert (archived.active, archived.unit_amount) == (False, 2900)
    assert (await money.billing.subscription(stripe_id)).amount_cents == 2900
    assert (await money.subscription(bought)).amount_cents == 2900
    await syncing(money).run()


async def test_a_run_that_broke_off_after_the_new_price_is_finished_by_the_next_one(
    money: Money, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(_price_id: str) -> None:
        raise RuntimeError("killed")

    broken = syncing(money, dearer(money, 4900))
    with monkeypatch.context() as patch:
        patch.setattr(money.prices, "archive_price", dies)
        with pytest.raises(RuntimeError):
            await broken.run()
    rest = await syncing(money, dearer(money, 4900)).run()
    assert [change.what for change in rest] == ["archive_price"]
    await syncing(money).run()


async def test_what_is_not_ours_is_left_alone_and_what_is_no_longer_offered_is_archived(money: Money) -> None:
    sdk = money.account.sdk()
    foreign = await sdk.v1.products.create_async({"name": "Somebody else's"})
    catalogue = money.api.stage.ports.catalogue
    fewer = catalogue.model_copy(update={"plans": catalogue.plans[:1]})
    told = await syncing(money, fewer).run()
    assert {(change.what, change.subject) for change in told if "product" in change.what} == {
        ("archive_product", "sendchief_business")
    }
    assert (await sdk.v1.products.retrieve_async(foreign.id)).active
    await syncing(money).run()
    assert (await sdk.v1.products.retrieve_async("sendchief_business")).active


async def test_a_plan_whose_price_is_not_there_yet_cannot_be_bought(money: Money) -> None:
    money.api.app.state.resources.catalogue.__dict__["plans"] = dearer(money, 7700).plans
    try:
        reply = await money.api.post(
            f"{money.api.path}/subscriptions", {"plan": "starter", "zone": "fr-par-1"}
        )
    finally:
        money.api.app.state.resources.catalogue.__dict__["plans"] = money.api.stage.ports.catalogue.plans
    assert (reply.status_code, reply.json()["code"]) == (503, "payment_unavailable")
    assert reply.headers["Retry-After"] == "30"


async def test_a_price_cannot_be_made_cheaper_at_stripe(money: Money) -> None:
    (price,) = await sold(money, "starter_month_eur")
    with pytest.raises(stripe.InvalidRequestError, match="unknown parameter"):
        await money.account.sdk().v1.prices.update_async(price.id, {"unit_amount": 1})  # type: ignore[arg-type]
