"""Stripe's official SDK works against the stand-in: catalogue, checkout, subscriptions, portal, webhooks."""

from __future__ import annotations

import pytest
import stripe
from stripe.params import PriceCreateParams

from sandbox.stripe.billing import renew
from tests.sandbox.stripe.conftest import RESTRICTED, Account, open_session, page_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_paid_checkout_becomes_a_subscription_with_a_paid_invoice(account: Account) -> None:
    session = await open_session(account)
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 1900)
    async with account.http() as browser:
        assert "Mail server" in (await browser.get(page_of(session))).text
        paid = await browser.post(page_of(session))
        assert (paid.status_code, paid.headers["location"]) == (
            303,
            f"https://app.test/ok?session={session.id}",
        )
    client = account.sdk()
    done = await client.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["subscription", "line_items"]}
    )
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "sub_ours")
    subscription = done.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert subscription.status == "active"
    assert subscription.metadata["subscription"] == "sub_ours"
    item = subscription["items"].data[0]
    assert item.current_period_end - item.current_period_start == 30 * 86_400
    assert not hasattr(subscription, "current_period_end")
    invoice = await client.v1.invoices.retrieve_async(
        str(subscription.latest_invoice), {"expand": ["payments"]}
    )
    assert (invoice.status, invoice.amount_paid) == ("paid", 1900)
    assert invoice.parent is not None
    assert invoice.parent.subscription_details is not None
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert not hasattr(invoice, "subscription")
    assert invoice.payments is not None
    assert invoice.payments.data[0].payment.type == "payment_intent"


async def test_events_are_signed_and_come_for_each_step(account: Account) -> None:
    session = await open_session(account)
    async with account.http() as browser:
        await browser.post(page_of(session))
    done = await account.sdk().v1.checkout.sessions.retrieve_async(session.id)
    subscription = str(done.subscription)

    async def mine(kind: str) -> list[stripe.Event]:
        return [e for e in await account.merchant.until(kind) if subscription in str(e)]

    completed = await mine("checkout.session.completed")
    assert completed[0].data.object.subscription == subscription
    assert completed[0].api_version == "2026-10-28.endive"
    assert (await mine("customer.subscription.created"))[0].data.object.id == subscription
    paid = await mine("invoice.paid")
    assert paid[0].data.object.parent.subscription_details.subscription == subscription
    listed = await account.sdk().v1.events.list_async({"type": "invoice.paid", "limit": 1})
    assert listed.data[0].id == paid[0].id


async def test_cancelling_at_once_and_at_the_periods_end(account: Account) -> None:
    client = account.sdk()
    ids = []
    for _ in range(2):
        session = await open_session(account)
        async with account.http() as browser:
            await browser.post(page_of(session))
        ids.append(str((await client.v1.checkout.sessions.retrieve_async(session.id)).subscription))
    later = await client.v1.subscriptions.update_async(ids[0], {"cancel_at_period_end": True})
    assert (later.status, later.cancel_at_period_end) == ("active", True)
    assert later.cancel_at == later["items"].data[0].current_period_end
    ended = await client.v1.subscriptions.cancel_async(
        ids[1], {"cancellation_details": {"comment": "by owner"}}
    )
    assert ended.cancellation_details is not None
    assert (ended.status, ended.cancellation_details.comment) == ("canceled", "by owner")
    with pytest.raises(stripe.InvalidRequestError, match="No such subscription"):
        await client.v1.subscriptions.cancel_async(ids[1])
    assert [e for e in await account.merchant.until("customer.subscription.deleted") if ids[1] in str(e)]
    updated = [e for e in await account.merchant.until("customer.subscription.updated") if ids[0] in str(e)]
    assert updated[0].data.previous_attributes is not None
    assert updated[0].data.previous_attributes["cancel_at_period_end"] is False
    current = await client.v1.subscriptions.list_async({"customer": str(later.customer)})
    assert [each.id for each in current.data] == [ids[0]]
    everything = await client.v1.subscriptions.list_async({"status": "all", "limit": 100})
    assert set(ids) <= {each.id for each in everything.data}


async def test_a_refund_is_made_once(account: Account) -> None:
    client = account.sdk()
    session = await open_session(account)
    async with account.http() as browser:
        await browser.post(page_of(session))
    done = await client.v1.checkout.sessions.retrieve_async(session.id)
    invoice = await client.v1.invoices.retrieve_async(str(done.invoice), {"expand": ["payments"]})
    assert invoice.payments is not None
    intent = str(invoice.payments.data[0].payment.payment_intent)
    refund = await client.v1.refunds.create_async(
        {"payment_intent": intent, "reason": "requested_by_customer"}
    )
    assert (refund.amount, refund.status) == (1900, "succeeded")
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await client.v1.refunds.create_async({"payment_intent": intent})
    assert refused.value.code == "charge_already_refunded"


async def test_the_restricted_key_opens_checkout_and_portal_only(account: Account) -> None:
    session = await open_session(account)
    async with account.http() as browser:
        await browser.post(page_of(session))
    client = account.sdk(RESTRICTED)
    done = await client.v1.checkout.sessions.retrieve_async(session.id)
    portal = await client.v1.billing_portal.sessions.create_async(
        {"customer": str(done.customer), "return_url": "https://app.test/"}
    )
    async with account.http() as browser:
        page = await browser.get(portal.url)
        assert str(done.subscription) in page.text
        await browser.post(portal.url, data={"cancel": str(done.subscription)})
    assert account.books.get("subscription", str(done.subscription))["cancel_at_period_end"] is True
    for forbidden in (
        client.v1.subscriptions.retrieve_async(str(done.subscription)),
        client.v1.products.list_async(),
        client.v1.invoices.list_async(),
        client.v1.refunds.create_async({"payment_intent": "pi_x"}),
    ):
        with pytest.raises(stripe.PermissionError):
            await forbidden


async def test_a_wrong_key_is_refused_and_not_shown(account: Account) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        await account.sdk("sk_test_somebody_elses_key").v1.products.list_async()
    assert "somebody_elses" not in str(refused.value)


async def test_idempotency_keys_give_the_first_answer_again(account: Account) -> None:
    client = account.sdk()
    first = await client.v1.customers.create_async({"email": "a@outside.test"}, {"idempotency_key": "k1"})
    second = await client.v1.customers.create_async({"email": "a@outside.test"}, {"idempotency_key": "k1"})
    assert first.id == second.id
    assert second.last_response is not None
    assert second.last_response.headers["idempotent-replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        await client.v1.customers.create_async({"email": "b@outside.test"}, {"idempotency_key": "k1"})


async def test_lists_page_from_newest_to_oldest(account: Account) -> None:
    client = account.sdk()
    made = [(await client.v1.customers.create_async({"email": f"c{n}@page.test"})).id for n in range(5)]
    first = await client.v1.customers.list_async({"limit": 2})
    assert [each.id for each in first.data] == [made[4], made[3]]
    assert first.has_more
    second = await client.v1.customers.list_async({"limit": 2, "starting_after": made[3]})
    assert [each.id for each in second.data] == [made[2], made[1]]
    by_mail = await client.v1.customers.list_async({"email": "c0@page.test"})
    assert [each.id for each in by_mail.data] == [made[0]]
    everybody = [each.id async for each in first.auto_paging_iter()]
    assert everybody[:5] == made[::-1]


async def test_a_price_is_found_by_its_lookup_key(account: Account) -> None:
    client = account.sdk()
    params: PriceCreateParams = {
        "currency": "eur",
        "unit_amount": 900,
        "recurring": {"interval": "month"},
        "product_data": {"name": "Small"},
        "lookup_key": "small",
    }
    price = await client.v1.prices.create_async(params)
    found = await client.v1.prices.list_async({"lookup_keys": ["small"], "expand": ["data.product"]})
    assert [each.id for each in found.data] == [price.id]
    product = found.data[0].product
    assert isinstance(product, stripe.Product)
    assert product.name == "Small"
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        await client.v1.prices.create_async(params)


async def test_collection_is_paused_by_void_and_resumed_by_an_empty_value(account: Account) -> None:
    client = account.sdk()
    session = await open_session(account)
    async with account.http() as browser:
        await browser.post(page_of(session))
    key = str((await client.v1.checkout.sessions.retrieve_async(session.id)).subscription)
    paused = await client.v1.subscriptions.update_async(key, {"pause_collection": {"behavior": "void"}})
    assert paused.pause_collection is not None
    assert paused.pause_collection.behavior == "void"
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.subscriptions.update_async(key, {"pause_collection": {"behavior": "forget"}})
    resumed = await client.v1.subscriptions.update_async(key, {"pause_collection": ""})
    assert resumed.pause_collection is None


async def test_an_owed_invoice_has_a_page_where_it_is_paid_and_is_listed_by_subscription(
    account: Account,
) -> None:
    client = account.sdk()
    session = await open_session(account)
    async with account.http() as browser:
        await browser.post(page_of(session))
        key = str((await client.v1.checkout.sessions.retrieve_async(session.id)).subscription)
        owed = renew(account.books, key, paid=False)
        assert (await client.v1.subscriptions.retrieve_async(key)).status == "past_due"
        assert "Pay" in (await browser.get(owed["hosted_invoice_url"])).text
        assert (await browser.post(owed["hosted_invoice_url"])).status_code == 303
        assert (await browser.post(owed["hosted_invoice_url"])).status_code == 400
    assert (await client.v1.subscriptions.retrieve_async(key)).status == "active"
    paid = await client.v1.invoices.list_async({"subscription": key, "status": "paid"})
    assert len(paid.data) == 2
    payments = await client.v1.invoice_payments.list_async({"invoice": owed["id"]})
    assert [payment.status for payment in payments.data] == ["paid"]
