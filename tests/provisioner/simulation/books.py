"""What the walk asks of the rest of the service, which writes to the same rows: buying, orders, domains and money; and
what others have found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol

from services.provisioner.models import Server
from services.provisioner.plans import Catalogue
from services.provisioner.ports import PaymentSubscription
from services.provisioner.reconciler.store import Store
from services.provisioner.settings import PLANS_FILE, WorkerSettings
from services.provisioner.sweeper import Findings
from shared.contracts.provisioner_events import AddressReserved, ServerDnsDesired
from tests.provisioner.outside.billing import MemoryBilling
from tests.provisioner.simulation.world import LEASE, MARGIN, TIMEOUT, WINDOW

ZONE = "fr-par-1"
EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
CATALOGUE = Catalogue.load(PLANS_FILE).model_copy(
    update={"regions": tuple(one for one in Catalogue.load(PLANS_FILE).regions if ZONE in one.zones)}
)
SETTINGS = WorkerSettings.model_construct(
    platform_zone="sendchief.test", environment="test", scaleway_timeout=TIMEOUT, control_plane_v4=["198.51.100.62/32"],
    control_plane_v6=[], acme_contact="hostmaster@sendchief.test", lease_seconds=LEASE, lease_margin_seconds=MARGIN,
    quiet_window_seconds=WINDOW, sweep_dry_run=False, sweep_quarantine_seconds=10.0, sweep_seconds=12.0,
    backoff_cap=20.0, passes_per_claim=20, recheck_seconds=60.0, refused_pause_seconds=15.0,
)  # fmt: skip

Order = Literal["reboot", "rescue", "rebuild"]
Service = Literal["add_domain", "remove_domain", "add_mailbox", "remove_mailbox"]


@dataclass
class Served:
    """States by name, and where the subscription is."""

    domains: dict[str, str] = field(default_factory=dict)
    mailboxes: dict[str, str] = field(default_factory=dict)
    status: str = "active"
    dunning: str | None = None


@dataclass(frozen=True)
class Days:
    """A clock on which each second of the walk is a day: the ladder of dunning is weeks long."""

    seconds: Callable[[], float]

    def now(self) -> datetime:
        return EPOCH + timedelta(days=self.seconds())


def agreement(stripe_id: str, subscription_id: str, workspace_id: str) -> PaymentSubscription:
    """A subscription at Stripe that has just been paid."""
    return PaymentSubscription(
        id=stripe_id,
        status="active",
        customer_id="cus_1",
        metadata={"subscription_id": subscription_id, "workspace_id": workspace_id},
    )


class Books(Protocol):
    """`False` means refused: nothing has changed."""

    billing: MemoryBilling
    stripe_id: str
    rest: float
    """Seconds between looks. A database is not asked as often as a dictionary."""

    @property
    def store(self) -> Store: ...
    @property
    def findings(self) -> Findings: ...
    async def buy(self) -> str: ...
    async def cancel(self, server_id: str) -> None: ...
    async def order(self, kind: Order) -> bool: ...
    async def serve(self, what: Service, name: str) -> bool: ...
    async def served(self) -> Served: ...
    async def tell(self) -> None:
        """Stripe says that there is something to look at: a paid invoice, once more or for the first time."""
        ...

    async def dun(self) -> None:
        """At most one step of the ladder."""
        ...

    async def refund(self) -> bool: ...
    async def server(self) -> Server: ...
    async def bound(self) -> dict[str, str]:
        """Kinds of the bound things, by their id at the cloud."""
        ...

    async def told(self) -> list[tuple[Any, int]]:
        """Events that were not asked for before, with their versions, oldest first."""
        ...

    async def checked(self, event: AddressReserved, version: int, *, listed: bool) -> None: ...
    async def verified(self, event: ServerDnsDesired, version: int) -> None: ...
    async def wake(self, server_id: str) -> None: ...
