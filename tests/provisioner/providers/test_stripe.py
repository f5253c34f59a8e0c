"""Our payment clients against the sandbox's Stripe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.provisioner.billing.prices import changes
from services.provisioner.plans import Catalogue
from services.provisioner.ports import PaymentError
from services.provisioner.providers.stripe import StripeBilling, StripeCheckout, client
from services.provisioner.providers.stripe_prices import StripePrices
from services.provisioner.settings import PLANS_FILE
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import RESTRICTED, SECRET, Account, account

__all__ = ["account", "https"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def order(account: Account) -> dict[str, Any]:
    """A first purchase of the starter plan, at the price that Stripe has for it."""
    port = StripePrices(client(SecretStr(SECRET), account.url, account.ca_file))
    catalogue = Catalogue.load(PLANS_FILE)
    for change in changes(catalogue, await port.products(), await port.prices()):
        if change.product is not None:
            await port.put_product(change.product, new=True)
        elif change.price is not None:
            await port.create_price(change.price)
    key = catalogue.plan("starter").lookup_key
    price_id = next(price.id for price in await port.prices() if price.lookup_key == key)
    return {"workspace_id": "ws_1", "price_id": price_id, "customer_id": None}


def checkout(account: Account) -> StripeCheckout:
    return StripeCheckout(client(SecretStr(RESTRICTED), account.url, account.ca_file), "https://app.test")


def billing(account: Account, key: str = SECRET) -> StripeBilling:
    return StripeBilling(client(SecretStr(key), account.url, account.ca_file))


async def paid(account: Account, subscription_id: str) -> str:
    """Pays for a subscription of ours; the id of the paid invoice."""
    session = await checkout(account).create_checkout(subscription_id=subscription_id, **await order(account))
    from sandbox.stripe import checkout as desk

    desk.pay(account.books, session.id)
    events = await account.merchant.until("invoice.paid")
    return str(events[-1].data.object["id"])


async def test_the_restricted_key_opens_a_checkout_and_nothing_else(account: Account) -> None:
    session = await checkout(account).create_checkout(subscription_id="sub_ours1", **await order(account))
    assert session.id.startswith("cs_")
    assert session.url.startswith("https://")
    with pytest.raises(PaymentError) as error:
        await billing(account, RESTRICTED).subscription("sub_x")
    assert not error.value.retryable


async def test_a_paid_invoice_leads_to_our_own_ids(account: Account) -> None:
    invoice = await billing(account).invoice(await paid(account, "sub_ours2"))
    assert invoice.status == "paid"
    assert invoice.stripe_subscription_id is not None
    assert (invoice.amount_paid, invoice.currency) == (2900, "eur")
    assert invoice.hosted_url is not None
    found = await billing(account).subscription(invoice.stripe_subscription_id)
    assert (found.status, found.standing(), found.amount_cents) == ("active", "good", 2900)
    assert found.latest_invoice_id == invoice.id
    assert found.period_end is not None
    assert found.cancel_at is None
    assert found.metadata == {"subscription_id": "sub_ours2", "workspace_id": "ws_1"}
    assert found.customer_id


async def test_an_ended_subscription_can_be_ended_again(account: Account) -> None:
    invoice = await billing(account).invoice(await paid(account, "sub_ours3"))
    key = str(invoice.stripe_subscription_id)
    await billing(account).end_subscription(key)
    await billing(account).end_subscription(key)
    assert (await billing(account).subscription(key)).status == "canceled"


async def test_an_unknown_invoice_is_not_worth_a_retry(account: Account) -> None:
    with pytest.raises(PaymentError) as error:
        await billing(account).invoice("in_unknown")
    assert not error.value.retryable


async def test_silence_is_worth_a_retry(account: Account) -> None:
    ca_file: Path = account.ca_file
    away = StripeBilling(client(SecretStr(SECRET), "https://127.0.0.1:1", ca_file))
    with pytest.raises(PaymentError) as error:
        await away.invoice("in_1")
    assert error.value.retryable
