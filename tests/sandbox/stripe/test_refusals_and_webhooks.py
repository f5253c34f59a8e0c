"""Bad requests change nothing; webhooks are repeated until taken, and misbehave as Stripe's do."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.stripe import checkout
from sandbox.stripe.billing import renew
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import decode
from tests.sandbox.stripe.conftest import Account, open_session

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("a=1&b[c]=2&b[d][e]=3", {"a": "1", "b": {"c": "2", "d": {"e": "3"}}}),
        ("items[0][price]=p&items[1][price]=q", {"items": [{"price": "p"}, {"price": "q"}]}),
        ("expand[]=x&expand[]=y", {"expand": ["x", "y"]}),
    ],
)
async def test_form_names_spell_a_structure(text: str, meaning: dict[str, Any]) -> None:
    assert decode(text) == meaning


@pytest.mark.parametrize("text", ["a=1&a[b]=2", "a[b=1", "[x]=1"])
async def test_a_malformed_form_is_refused(text: str) -> None:
    with pytest.raises(StripeError):
        decode(text)


PRICE = {"product": "prod_none", "currency": "eur", "unit_amount": "1"}
NO_LINES = {"mode": "subscription", "success_url": "https://a.test"}
MISSING, UNKNOWN, NO_SUCH = "parameter_missing", "parameter_unknown", "resource_missing"


@pytest.mark.parametrize(
    ("path", "data", "status", "code", "param"),
    [
        ("/v1/products", {}, 400, MISSING, "name"),
        ("/v1/products", {"name": "x", "colour": "red"}, 400, UNKNOWN, "colour"),
        ("/v1/prices", PRICE, 400, NO_SUCH, "product"),
        ("/v1/checkout/sessions", NO_LINES, 400, MISSING, "line_items"),
        ("/v1/checkout/sessions", {"success_url": "https://a.test"}, 400, MISSING, "mode"),
        ("/v1/prices/price_none", {"active": "false"}, 404, NO_SUCH, "id"),
        ("/v1/prices/price_none", {"unit_amount": "1"}, 400, UNKNOWN, "unit_amount"),
        ("/v1/subscriptions/sub_none", {"metadata[a]": "b"}, 404, NO_SUCH, "id"),
        ("/v1/subscriptions/sub_none", {"pause_collection[behavior]": "void"}, 404, NO_SUCH, "id"),
        ("/v1/refunds", {}, 400, MISSING, "payment_intent"),
        ("/v1/refunds", {"payment_intent": "pi_none"}, 400, NO_SUCH, "payment_intent"),
        ("/v1/billing_portal/sessions", {"customer": "cus_none"}, 400, NO_SUCH, "customer"),
    ],
)
async def test_a_bad_request_names_code_and_parameter(
    account: Account, path: str, data: dict[str, str], status: int, code: str, param: str
) -> None:
    before = account.books.view()
    async with account.http() as client:
        answer = await client.post(path, data=data)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert account.books.view() == before


async def test_an_unknown_url_and_a_missing_key_are_told(account: Account) -> None:
    async with account.http() as client:
        assert (
            (await client.get("/v1/nothing"))
            .json()["error"]["message"]
            .startswith("Unrecognized request URL")
        )
        del client.headers["Authorization"]
        assert (await client.get("/v1/products")).status_code == 401


async def test_a_session_is_paid_once(account: Account) -> None:
    session = await open_session(account)
    checkout.pay(account.books, session.id)
    with pytest.raises(StripeError, match="complete"):
        checkout.pay(account.books, session.id)


async def test_an_answer_lost_after_commit_is_found_under_its_key(account: Account) -> None:
    account.faults.arm("stripe", "customers.create", Fault("error_after_commit", status=500))
    headers = {"Idempotency-Key": "lost-answer"}
    async with account.http() as client:
        lost = await client.post("/v1/customers", data={"email": "lost@outside.test"}, headers=headers)
        assert lost.status_code == 500
        again = await client.post("/v1/customers", data={"email": "lost@outside.test"}, headers=headers)
        assert again.headers["idempotent-replayed"] == "true"
    assert len([c for c in account.books.list("customer") if c["email"] == "lost@outside.test"]) == 1


async def test_a_refused_webhook_comes_again(account: Account) -> None:
    account.merchant.answers = [500, 503]
    session = await open_session(account)
    checkout.expire(account.books, session.id)
    event = (await account.merchant.until("checkout.session.expired"))[-1]
    delivery = next(d for d in account.webhooks.deliveries() if d["event"] == event.id)
    outcomes = [attempt["outcome"] for attempt in delivery["attempts"]]
    assert [o for o in outcomes if o in (500, 503)]


async def test_duplicates_and_overtaking_happen_when_asked(account: Account) -> None:
    account.merchant.events.clear()
    account.faults.arm("stripe", "webhook.invoice.paid", Fault("duplicate"))
    account.faults.arm("stripe", "webhook.checkout.session.completed", Fault("reorder"))
    session = await open_session(account)
    checkout.pay(account.books, session.id)
    twice = await account.merchant.until("invoice.paid", 2)
    assert twice[0].id == twice[1].id
    await account.merchant.until("checkout.session.completed")
    order = [e.type for e in account.merchant.events]
    assert order.index("invoice.paid") < order.index("checkout.session.completed")


async def test_a_failed_renewal_makes_the_subscription_past_due(account: Account) -> None:
    session = await open_session(account)
    subscription = checkout.pay(account.books, session.id)["subscription"]
    first = account.books.get("subscription", subscription)["items"]["data"][0]["current_period_end"]
    invoice = renew(account.books, subscription, paid=False)
    assert (invoice["status"], invoice["amount_remaining"]) == ("open", 1900)
    after = account.books.get("subscription", subscription)
    assert (after["status"], after["items"]["data"][0]["current_period_start"]) == ("past_due", first)
    await account.merchant.until("invoice.payment_failed")
    assert renew(account.books, subscription, paid=True)["status"] == "paid"
    assert account.books.get("subscription", subscription)["status"] == "active"
