"""The parts that the control API reaches."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cloudflare import Books as CloudflareBooks
from sandbox.cloudflare import Publisher
from sandbox.cloudflare.customers import Customers
from sandbox.faults import Faults
from sandbox.infrastructure import Infrastructure
from sandbox.resend import Books as ResendBooks
from sandbox.resend import Webhooks as ResendWebhooks
from sandbox.scaleway import ScalewayCloud
from sandbox.stripe import Books as StripeBooks
from sandbox.stripe import Webhooks
from sandbox.transit import Books as TransitBooks


@dataclass(frozen=True)
class Wiring:
    """All of them, by name; `scaleway` is None in a sandbox without a cloud."""

    infrastructure: Infrastructure
    faults: Faults
    cloudflare: CloudflareBooks
    publisher: Publisher
    customers: Customers
    stripe: StripeBooks
    webhooks: Webhooks
    resend: ResendBooks
    resend_webhooks: ResendWebhooks
    scaleway: ScalewayCloud | None
    transit: TransitBooks


def cloud_of(wiring: Wiring) -> ScalewayCloud:
    """The cloud of this sandbox; KeyError where it runs without."""
    if wiring.scaleway is None:
        raise KeyError("this sandbox runs without a cloud")
    return wiring.scaleway
