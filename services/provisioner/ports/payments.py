"""A payment provider, which is looked at again for every event of its."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, StringConstraints


class PaymentError(Exception):
    """The payment provider did not do it. `retryable`: asking again may help."""

    def __init__(self, detail: str, *, retryable: bool) -> None:
        super().__init__(detail)
        self.retryable = retryable


class CheckoutSession(BaseModel):
    """`url` is where the customer is sent: a page, whatever the provider says."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    url: Annotated[str, StringConstraints(pattern=r"^https://", max_length=4096)]


class PaymentPage(BaseModel):
    """A payment page as the provider has it now, and what we gave it when it was made. Once it has expired it can
    never be paid."""

    id: str
    status: str
    metadata: dict[str, str]


class PaymentInvoice(BaseModel):
    """An invoice as the provider has it now. Amounts are in cents; `hosted_url` and `pdf_url` are the provider's."""

    id: str
    status: str
    stripe_subscription_id: str | None
    number: str | None = None
    amount_due: int = 0
    amount_paid: int = 0
    currency: str = "eur"
    created_at: datetime | None = None
    hosted_url: str | None = None
    pdf_url: str | None = None


class PaymentSubscription(BaseModel):
    """A subscription as the provider has it now; the metadata is what we gave it at checkout. `period_end` is when the
    next invoice is due, `cancel_at` when it ends by the customer's own wish."""

    id: str
    status: str
    customer_id: str | None
    metadata: dict[str, str]
    created_at: datetime | None = None
    latest_invoice_id: str | None = None
    latest_invoice_status: str | None = None
    amount_cents: int | None = None
    currency: str | None = None
    period_end: datetime | None = None
    cancel_at: datetime | None = None

    def standing(self) -> Literal["good", "due", "ended", "open"]:
        """What the money says: paid for, a payment is owed, over, or not decided yet."""
        if self.status in ("canceled", "incomplete_expired"):
            return "ended"
        if self.status in ("active", "trialing"):
            return "good"
        if self.status in ("past_due", "unpaid"):
            # The provider tells of the payment a moment before it turns the subscription round.
            return "good" if self.latest_invoice_status == "paid" else "due"
        return "open"


class PaymentProduct(BaseModel):
    id: str
    name: str
    description: str
    active: bool


class PaymentPrice(BaseModel):
    """A monthly price. It never changes at the provider, but for `active` and the owner of a `lookup_key`."""

    id: str
    product: str
    lookup_key: str | None
    amount_cents: int
    currency: str
    active: bool


class CheckoutPort(Protocol):
    """What the API process may do: begin a payment, and open the customer's own page."""

    async def create_checkout(
        self, *, subscription_id: str, workspace_id: str, price_id: str, customer_id: str | None
    ) -> CheckoutSession:
        """The same `subscription_id` opens the same page again."""
        ...

    async def open_portal(self, *, customer_id: str, workspace_id: str) -> str:
        """Where the customer sees invoices, changes the means of payment and cancels; good for minutes."""
        ...


class BillingPort(Protocol):
    """What the worker may do: look again at what a webhook told, and end a subscription."""

    async def page(self, checkout_session_id: str) -> PaymentPage: ...
    async def invoice(self, invoice_id: str) -> PaymentInvoice: ...
    async def subscription(self, subscription_id: str) -> PaymentSubscription: ...
    async def subscriptions(self) -> Sequence[PaymentSubscription]:
        """All that the account has, ended ones too."""
        ...

    async def end_subscription(self, subscription_id: str) -> None:
        """Ends it at once; one that has ended already is fine."""
        ...

    async def hold_collection(self, subscription_id: str, *, held: bool) -> None:
        """While held, what falls due is void: nothing is charged, and nothing of it later. An ended one is fine."""
        ...

    async def refund(self, subscription_id: str, *, key: str) -> int:
        """Gives back all that was paid for it and not given back yet; `key` makes that happen once. The cents that
        have gone back in all."""
        ...


class PricesPort(Protocol):
    """What the worker may do to make the provider sell what the plans say. Only what we made is listed."""

    async def products(self) -> Sequence[PaymentProduct]: ...
    async def prices(self) -> Sequence[PaymentPrice]:
        """The active ones."""
        ...

    async def put_product(self, product: PaymentProduct, *, new: bool) -> None: ...
    async def create_price(self, price: PaymentPrice) -> None:
        """Takes the lookup key away from a price that has it. The id is the provider's to give."""
        ...

    async def archive_price(self, price_id: str) -> None: ...
