"""Our payment clients against the sandbox's Stripe."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from services.provisioner.ports import PaymentError
from services.provisioner.providers.stripe import StripeBilling, StripeCheckout, client
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import RESTRICTED, SECRET, Account, account

__all__ = ["account", "https"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
ORDER = {"workspace_id": "ws_1", "name": "Starter", "amount_cents": 2900, "currency": "eur"}


def checkout(account: Account) -> StripeCheckout:
    return StripeCheckout(client(SecretStr(RESTRICTED), account.url, account.ca_file), "https://app.test")


def billing(account: Account, key: str = SECRET) -> StripeBilling:
    return StripeBilling(client(SecretStr(key), account.url, account.ca_file))


async def paid(account: Account, subscription_id: str) -> str:
    """Pays for a subscription of ours; the id of the paid invoice."""
    session = await checkout(account).create_checkout(subscription_id=subscription_id, **ORDER)  # type: ignore[arg-type]
    from sandbox.stripe import checkout as desk

    desk.pay(account.books, session.id)
    events = await account.merchant.until("invoice.paid")
    return str(events[-1].data.object["id"])


async def test_the_restricted_key_opens_a_checkout_and_nothing_else(account: Account) -> None:
    session = await checkout(account).create_checkout(subscription_id="sub_ours1", **ORDER)  # type: ignore[arg-type]
    assert session.id.startswith("cs_")
    assert session.url.startswith("https://")
    with pytest.raises(PaymentError) as error:
        await billing(account, RESTRICTED).subscription("sub_x")
    assert not error.value.retryable


async def test_a_paid_invoice_leads_to_our_own_ids(account: Account) -> None:
    invoice = await billing(account).invoice(await paid(account, "sub_ours2"))
    assert invoice.status == "paid"
    assert invoice.stripe_subscription_id is not None
    found = await billing(account).subscription(invoice.stripe_subscription_id)
    assert found.status == "active"
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
