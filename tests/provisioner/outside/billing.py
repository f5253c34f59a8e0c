"""The payment provider in memory behind the provisioner's own port."""

from __future__ import annotations

from collections import Counter
from typing import Any

from services.provisioner.ports import (
    CheckoutSession,
    PaymentError,
    PaymentInvoice,
    PaymentPage,
    PaymentSubscription,
)


class MemoryBilling:
    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self.invoices: dict[str, PaymentInvoice] = {}
        self.pages: dict[str, PaymentPage] = {}
        self.agreements: dict[str, PaymentSubscription] = {}
        self.sessions: list[dict[str, Any]] = []
        self.held: dict[str, bool] = {}
        self.refunded: Counter[str] = Counter()
        self.away = 0

    async def create_checkout(self, **request: Any) -> CheckoutSession:
        if self.away:
            self.away -= 1
            raise PaymentError("no answer", retryable=True)
        self.sessions.append(request)
        key = f"cs_test_{len(self.sessions)}"
        ours = {name: str(request[name]) for name in ("subscription_id", "workspace_id")}
        self.pages[key] = PaymentPage(id=key, status="open", metadata=ours)
        return CheckoutSession(id=key, url=f"https://pay.test/pay/{key}")

    async def open_portal(self, *, customer_id: str, workspace_id: str) -> str:
        return f"https://pay.test/portal/{customer_id}"

    async def page(self, checkout_session_id: str) -> PaymentPage:
        return self.pages[checkout_session_id]

    async def invoice(self, invoice_id: str) -> PaymentInvoice:
        if self.away:
            self.away -= 1
            raise PaymentError("no answer", retryable=True)
        return self.invoices[invoice_id]

    async def subscription(self, subscription_id: str) -> PaymentSubscription:
        return self.agreements[subscription_id]

    async def subscriptions(self) -> list[PaymentSubscription]:
        return list(self.agreements.values())

    async def hold_collection(self, subscription_id: str, *, held: bool) -> None:
        self.held[subscription_id] = held

    async def refund(self, subscription_id: str, *, key: str) -> int:
        self.refunded[key] += 1
        return 2900

    async def end_subscription(self, subscription_id: str) -> None:
        self.ended[subscription_id] += 1
