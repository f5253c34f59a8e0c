"""What the customer sees of the money: invoices, the page at Stripe, what comes next."""

from __future__ import annotations

import pytest

from sandbox.stripe import billing as stripe_billing
from shared.ids import new_id
from tests.provisioner.billing.money import Money, money
from tests.sandbox.conftest import https
from tests.sandbox.stripe.conftest import account

__all__ = ["account", "https", "money"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_without_a_payment_there_is_no_portal(money: Money) -> None:
    other = new_id("ws")
    reply = await money.api.post(f"/v1/workspaces/{other}/billing/portal", None, workspace_id=other)
    assert (reply.status_code, reply.json()["code"]) == (409, "nothing_paid")


async def test_the_portal_is_of_the_workspace_s_own_customer(money: Money) -> None:
    bought, stripe_id = await money.paid()
    reply = await money.api.post(f"{money.api.path}/billing/portal", None)
    assert reply.status_code == 200, reply.text
    portal = money.account.books.get("billing_portal.session", reply.json()["url"].rpartition("/")[2])
    assert portal["customer"] == money.account.books.get("subscription", stripe_id)["customer"]
    assert money.api.workspace_id in portal["return_url"]
    assert (await money.subscription(bought)).stripe_customer_id == portal["customer"]


async def test_whoever_buys_again_is_the_same_customer(money: Money) -> None:
    _, first = await money.paid()
    _, second = await money.paid("business")
    books = money.account.books
    assert books.get("subscription", first)["customer"] == books.get("subscription", second)["customer"]


async def test_the_portal_is_not_for_who_may_not_buy(money: Money) -> None:
    reply = await money.api.post(f"{money.api.path}/billing/portal", None, permissions=("servers.read",))
    assert reply.status_code == 403
    assert (
        await money.api.get(f"{money.api.path}/invoices", permissions=("servers.read",))
    ).status_code == 403


async def test_invoices_are_listed_with_state_amount_and_link_newest_first_in_pages(money: Money) -> None:
    bought, stripe_id = await money.paid()
    stripe_billing.renew(money.account.books, stripe_id, paid=False)
    await money.deliver_all(bought)
    seen: list[dict[str, object]] = []
    cursor = ""
    while True:
        page = (await money.api.get(f"{money.api.path}/invoices?limit=1{cursor}")).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    mine = [row for row in seen if row["subscription_id"] == bought]
    assert {row["status"] for row in mine} == {"open", "paid"}
    assert {row["amount_due"] for row in mine} == {2900}
    assert all(str(row["hosted_url"]).startswith("https://") for row in mine)
    assert len({row["id"] for row in seen}) == len(seen)
    owed = next(row for row in mine if row["status"] == "open")
    async with money.account.http() as browser:
        assert (await browser.post(str(owed["hosted_url"]))).status_code == 303
    await money.deliver_all(bought)
    now = (await money.api.get(f"{money.api.path}/invoices")).json()["items"]
    assert {row["status"] for row in now if row["subscription_id"] == bought} == {"paid"}
    assert (await money.subscription(bought)).status == "active"


async def test_an_older_look_does_not_put_an_invoice_back(money: Money) -> None:
    from services.provisioner.billing import invoices

    bought, stripe_id = await money.paid()
    seen = await money.billing.invoice(str((await money.billing.subscription(stripe_id)).latest_invoice_id))
    async with money.database.transaction() as session:
        await invoices.keep(session, seen.model_copy(update={"status": "open"}), bought, 0)
    listed = (await money.api.get(f"{money.api.path}/invoices")).json()["items"]
    assert next(row for row in listed if row["id"] == seen.id)["status"] == "paid"


async def test_the_subscription_says_what_it_costs_and_what_comes_next(money: Money) -> None:
    bought, stripe_id = await money.paid()
    view = (await money.api.get(f"{money.api.path}/subscriptions/{bought}")).json()
    assert view["price"] == {"amount_cents": 2900, "currency": "eur"}
    assert view["next"]["what"] == "renewal"
    stripe_billing.update_subscription(money.account.books, stripe_id, {"cancel_at_period_end": "true"})
    await money.deliver_all(bought)
    after = (await money.api.get(f"{money.api.path}/subscriptions/{bought}")).json()["next"]
    assert after == {"what": "end", "at": view["next"]["at"]}
