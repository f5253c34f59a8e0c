"""The same writes as the service's other rooms make, on the store in memory."""

from __future__ import annotations

from typing import Any

from services.provisioner.models import (
    Address,
    CloudResource,
    Condition,
    Domain,
    Mailbox,
    Server,
    Subscription,
)
from services.provisioner.reconciler.outcomes import STOPS
from services.provisioner.subscriptions.views import due_at
from shared.contracts.provisioner_events import AddressReserved, ServerDnsDesired
from tests.provisioner.outside.billing import MemoryBilling
from tests.provisioner.simulation.books import CATALOGUE, ZONE, Days, Order, Served, Service, agreement
from tests.provisioner.simulation.memory import MemoryStore
from tests.provisioner.simulation.memory_findings import MemoryFindings

SUBSCRIPTION = "sub_1"


class MemoryBooks:
    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.findings = MemoryFindings(store)
        self.billing = MemoryBilling()
        self.stripe_id = "sub_stripe"
        self.rest = 1.0
        self._told = 0
        self._made = 0

    async def buy(self) -> str:
        store = self.store
        self.billing.agreements[self.stripe_id] = agreement(self.stripe_id, SUBSCRIPTION, "ws_1")
        store.put(Subscription(
            id=SUBSCRIPTION, workspace_id="ws_1", plan="starter", zone=ZONE, status="active", created_by="usr_1",
            stripe_subscription_id=self.stripe_id, version=2,
        ))  # fmt: skip
        server_id = f"srv_{0:032x}"
        store.put(Server(
            id=server_id, workspace_id="ws_1", subscription_id=SUBSCRIPTION, plan="starter", zone=ZONE, label="s1",
            hostname="s1.mx.sendchief.test", next_at=store.now(), created_at=store.now(),
        ))  # fmt: skip
        return server_id

    async def server(self) -> Server:
        return self.store.rows(Server)[0]

    @property
    def _subscription(self) -> Subscription:
        return self.store.rows(Subscription)[0]

    async def cancel(self, server_id: str) -> None:
        if (await self.server()).desired == "present":
            await self._wish(desired="absent")

    async def _wish(self, **values: Any) -> int:
        """A new generation, and a wake-up; its number."""
        server = await self.server()
        self.store.change(Server, server.id, generation=server.generation + 1, **values)
        self.store.due_now(server.id)
        return server.generation + 1

    # -- orders ----------------------------------------------------------------------------------------------

    async def order(self, kind: Order) -> bool:
        server = await self.server()
        if server.desired == "absent" or not server.ever_ready:
            return False
        cleared = server.incarnation_cleared >= server.incarnation
        built = cleared and (server.incarnation == 1 or server.host_key_own)
        if kind == "rebuild":
            stalled = self.store.row(Condition, (server.id, "Stalled"))
            if not built and not (cleared and stalled is not None and stalled.status == "true"):
                return False
            await self._wish(incarnation=server.incarnation + 1)
            return True
        if not built or server.boots_done < server.boots:
            return False
        await self._wish(boots=server.boots + 1, boot_type="rescue" if kind == "rescue" else "local")
        return True

    # -- domains and mailboxes -------------------------------------------------------------------------------

    async def serve(self, what: Service, name: str) -> bool:
        server, store = await self.server(), self.store
        if server.desired == "absent" or not server.ever_ready or server.mail_service == "read_only":
            return False
        domain = next((row for row in store.rows(Domain) if row.name == name), None)
        box = next((row for row in store.rows(Mailbox) if row.address == f"anna@{name}"), None)
        row: Domain | Mailbox | None = box if what.endswith("mailbox") else domain
        if what.startswith("remove"):
            lived_in = what == "remove_domain" and box is not None and box.state != "removing"
            if row is None or row.state == "removing" or lived_in:
                return False
            store.change(type(row), row.id, state="removing", generation=await self._wish())
            return True
        if row is not None or (what == "add_mailbox" and (domain is None or domain.state == "removing")):
            return False
        self._made += 1
        common: Any = {
            "workspace_id": "ws_1", "server_id": server.id, "state": "pending", "generation": await self._wish(),
        }  # fmt: skip
        if what == "add_domain":
            store.put(Domain(
                id=f"dom_{self._made}", zone_id="z", name=name, dkim_rsa_selector="r", dkim_ed25519_selector="e",
                mta_sts_id="1", **common,
            ))  # fmt: skip
        else:
            assert domain is not None
            store.put(Mailbox(
                id=f"mbx_{self._made}", domain_id=domain.id, address=f"anna@{name}", local_part="anna",
                display_name="", **common,
            ))  # fmt: skip
        return True

    async def served(self) -> Served:
        store, row = self.store, self._subscription
        return Served(
            {one.name: one.state for one in store.rows(Domain)},
            {one.address: one.state for one in store.rows(Mailbox)},
            row.status,
            row.dunning,
        )

    # -- money -----------------------------------------------------------------------------------------------

    async def tell(self) -> None:
        standing = self.billing.agreements[self.stripe_id].standing()
        status = {"good": "active", "due": "past_due", "ended": "ended"}[standing]
        if self._subscription.status not in (status, "ended"):
            self.store.change(Subscription, SUBSCRIPTION, status=status)

    async def dun(self) -> None:
        server, row, now = await self.server(), self._subscription, Days(self.store.seconds).now()
        if server.desired == "absent":
            return
        if row.status == "active":
            if row.dunning is not None:
                await self._climb(None, now)
                await self._mail("full")
            return
        if row.status == "ended" and row.dunning != "read_only":
            await self._climb("read_only" if server.ever_ready else "destroyed", now)
            return
        if row.dunning is None:
            self.store.change(Subscription, row.id, dunning="past_due", dunning_at=now)
        row = self._subscription
        following = CATALOGUE.dunning_after(str(row.dunning))
        if following is None:
            return
        if row.announced != following.step:
            self.store.change(Subscription, row.id, announced=following.step, announced_at=now)
        elif now >= due_at(row, following):
            await self._climb(following.step, now)

    async def _climb(self, step: str | None, now: Any) -> None:
        at = None if step is None else now
        self.store.change(
            Subscription, SUBSCRIPTION, dunning=step, dunning_at=at, announced=None, announced_at=None
        )
        if step == "destroyed":
            await self.cancel((await self.server()).id)
        elif step is not None:
            await self._mail(step)

    async def _mail(self, mail_service: str) -> None:
        if (await self.server()).mail_service != mail_service:
            await self._wish(mail_service=mail_service)

    async def refund(self) -> bool:
        server = await self.server()
        stopped = any(row.status == "false" and row.reason in STOPS for row in self.store.rows(Condition))
        if server.ever_ready or server.desired == "absent" or not stopped:
            return False
        await self.cancel(server.id)
        return True

    # -- what others have found out --------------------------------------------------------------------------

    async def bound(self) -> dict[str, str]:
        return {
            str(row.external_id): row.kind for row in self.store.rows(CloudResource) if row.state == "bound"
        }

    async def told(self) -> list[tuple[Any, int]]:
        new = [(event, version) for event, _, version in self.store.events[self._told :]]
        self._told = len(self.store.events)
        return new

    async def checked(self, event: AddressReserved, version: int, *, listed: bool) -> None:
        row = self.store.row(Address, event.address_id)
        if row is None or row.state != "checking":
            return
        listings = [{"blacklist": "zen.test"}] if listed else []
        self.store.change(Address, row.id, state="burned" if listed else "clean", listings=listings)
        self.store.due_now(row.server_id)

    async def verified(self, event: ServerDnsDesired, version: int) -> None:
        server = await self.server()
        if (event.generation, version) < (server.names_seen_generation, server.names_seen_version):
            return
        self.store.change(
            Server, server.id, names_seen_generation=event.generation, names_seen_version=version, names_forward=True,
            names_reverse=True, names_withdrawn=event.withdrawn,
        )  # fmt: skip
        verified = {one.domain_id for one in event.domains}
        for row in self.store.rows(Domain):
            if row.dns_verified != (row.id in verified):
                self.store.change(Domain, row.id, dns_verified=row.id in verified)
        self.store.due_now(server.id)

    async def wake(self, server_id: str) -> None:
        self.store.due_now(server_id)
