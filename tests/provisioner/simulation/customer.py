"""Who has bought, in a part of the lives: orders, domains and mailboxes, and money that comes late or not at all."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from services.provisioner.models import Server
from tests.provisioner.outside.hosts import MemoryHosts
from tests.provisioner.simulation.books import Books, Order, Service
from tests.provisioner.simulation.world import TROUBLE_ENDS, Violation, World

ORDERS = get_args(Order)
MOVES = (
    *ORDERS, "add_domain", "add_domain", "add_mailbox", "add_mailbox", "remove_mailbox", "remove_domain",
    "owes", "pays", "pays", "told", "refund",
)  # fmt: skip
NAMES = ("a.test", "b.test")


@dataclass
class Customer:
    """`through` once nothing more is ordered; `left` once the server has been cancelled, by whomever."""

    world: World
    books: Books
    hosts: MemoryHosts
    through: bool = False
    left: bool = False
    accepted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(f"customer {self.world.seed}")
        self._lively = self._random.random() < self.world.odds.lively
        self.through = not self._lively

    async def live(self) -> None:
        """Moves until there has been enough of them; then out of the rescue system, and the debts paid or not."""
        if not self._lively:
            return
        r, until = self._random, self._random.uniform(20, TROUBLE_ENDS + 20)
        while self.world.now() < until:
            await asyncio.sleep(r.uniform(0.5, 6))
            await self._move(r.choice(MOVES), r.choice(NAMES))
        await self._move(r.choice(("pays", "pays", "told", "ends")), "")
        while (server := await self.books.server()).desired == "present" and server.boot_type == "rescue":
            await self._move("reboot", "")
            await asyncio.sleep(3.0)
        self.through = True

    async def _move(self, move: str, name: str) -> None:
        self.world.note("customer", f"{move} {name}")
        if move in ORDERS:
            taken = await self.books.order(cast(Order, move))
        elif move in get_args(Service):
            taken = await self.books.serve(cast(Service, move), name)
        elif move == "refund":
            taken = await self.books.refund()
            self.left = self.left or taken
        else:
            taken = move == "told" or self._money(move)
            for _ in range(self._random.choice((1, 1, 2))):
                self.world.later(self._random.uniform(0, 10), self.books.tell)
        self.accepted[move] += taken
        self.world.accepted[move] += taken

    def _money(self, move: str) -> bool:
        """What becomes of the subscription at Stripe. An ended one stays so."""
        agreements, key = self.books.billing.agreements, self.books.stripe_id
        now = agreements[key].status
        then = {"owes": "past_due", "pays": "active", "ends": "canceled"}[move]
        if now == "canceled" or now == then:
            return False
        agreements[key] = agreements[key].model_copy(update={"status": then})
        return True

    async def owe(self) -> None:
        """The schedule that climbs the ladder, by one step each time."""
        while self._lively:
            await asyncio.sleep(1.0 * self.books.rest)
            await self.books.dun()

    # -- what must hold --------------------------------------------------------------------------------------

    def look(self, server: Server) -> None:
        """At any time: who has left never comes back, and an order is carried out once, or not at all."""
        self.left = self.left or server.desired == "absent"
        if self.left and server.desired == "present":
            raise Violation("a server that was cancelled is wanted again")
        ordered = self.accepted["reboot"] + self.accepted["rescue"]
        if self.world.stops > ordered or server.boots > ordered:
            raise Violation(f"{self.world.stops} restarts, and {ordered} were ordered")
        if server.incarnation > 1 + self.accepted["rebuild"]:
            raise Violation("a rebuild that nobody has ordered")
        machine = self.hosts.machines.get(server.id)
        if server.desired == "absent" or machine is None or machine.desired is None:
            return
        if (
            server.observed_generation >= server.generation
            and machine.desired.mail_service != server.mail_service
        ):
            raise Violation(f"the host serves {machine.desired.mail_service}, not {server.mail_service}")

    async def at_rest(self, server: Server) -> bool:
        """A living server whose wishes are all fulfilled. Raises Violation when host and books then differ."""
        if not self._lively:
            return True
        served = await self.books.served()
        standing = self.books.billing.agreements[self.books.stripe_id].standing()
        if served.status != {"good": "active", "due": "past_due", "ended": "ended"}[standing]:
            return False  # not told yet, or not yet climbed down
        states = {*served.domains.values(), *served.mailboxes.values()}
        if standing != "good" or served.dunning is not None or states - {"ready", "active"}:
            return False  # who owes something climbs the ladder to its end
        self._agree(server, served.domains, served.mailboxes)
        return True

    def _agree(self, server: Server, domains: Any, mailboxes: Any) -> None:
        desired = self.hosts.machines[server.id].desired
        assert desired is not None
        wanted = (set(domains), set(mailboxes), "full", server.generation)
        held = (
            {one.name for one in desired.domains},
            {one.address for one in desired.mailboxes},
            desired.mail_service,
            desired.generation,
        )
        if wanted != held or server.mail_service != "full":
            raise Violation(f"the host has {held}, and the books say {wanted}")
