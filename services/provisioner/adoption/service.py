"""`admin adopt`: what the cloud has of a paid server comes back into the books that have lost it (ADR 17).

All of it is looked at first, and shown. To carry it out it is looked at again under a lease, so that no worker and no
other operator is at it, and written in one transaction under the fence. Whoever dies on the way has changed nothing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.adoption import rows
from services.provisioner.adoption.machine import Machine, NotAdoptable, Search
from services.provisioner.adoption.trust import ELSEWHERE, Trust, establish
from services.provisioner.models import Server
from services.provisioner.ports import CloudError
from services.provisioner.reconciler import lease as leases
from services.provisioner.reconciler.lease import Lease, LostLease
from services.provisioner.reconciler.postgres import PostgresStore, load, load_conditions
from services.provisioner.reconciler.store import Known, Write
from services.provisioner.reconciler.work import Ports
from services.provisioner.steps.ssh_trust import fingerprint
from shared import audit
from shared.crashpoint import crashpoint
from shared.db.database import Database

Row = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What an operator has typed. `host_key`: a fingerprint, `SHA256:…`; `rebuild`: the server's whole name."""

    server_id: str
    operator: str
    machine: str | None = None
    host_key: str | None = None
    rebuild: str | None = None


class Adoption:
    def __init__(self, database: Database, ports: Ports) -> None:
        self._database = database
        self._ports = ports
        self._store = PostgresStore(database)

    async def look(self, order: Order) -> list[Row]:
        """What would be done. Changes nothing. Raises NotAdoptable."""
        known = await self._known(order)
        machine, trust = await self._seen(order, known)
        async with self._database.transaction() as session:
            await rows.check(session, known, machine, trust, self._ports.settings.platform_zone)
        return told(machine, trust, "would be adopted")

    async def carry_out(self, order: Order) -> list[Row]:
        """Raises NotAdoptable; then nothing was changed."""
        await self._known(order)
        async with self._database.transaction() as session:
            lease = await leases.claim(
                session, f"adopt:{order.operator}", self._ports.settings.lease_seconds, order.server_id
            )
        if lease is None:
            raise NotAdoptable(f"Somebody is at work on {order.server_id}.", "Try again in a minute.")
        try:
            machine, trust = await self._seen(order, await self._known(order))
            if trust.by == "none":
                raise NotAdoptable(_unconfirmed(machine, trust), ELSEWHERE)
            crashpoint("adopt.before_write")
            await self._write(lease, order, machine, trust)
            crashpoint("adopt.after_write")
        except LostLease as error:
            raise NotAdoptable("It took longer than the lease.", "Try again.") from error
        except Exception:
            await self._give_back(lease)
            raise
        return told(machine, trust, "adopted")

    async def _give_back(self, lease: Lease) -> None:
        with contextlib.suppress(LostLease):
            async with self._store.hold(lease) as held:
                await held.release(0)

    async def _known(self, order: Order) -> Known:
        async with self._database.transaction() as session:
            server = await session.get(Server, order.server_id)
            if server is None:
                raise NotAdoptable(f"There is no server {order.server_id}.")
            known = await load(session, server, await load_conditions(session, server))
        adoptable(known)
        return known

    async def _seen(self, order: Order, known: Known) -> tuple[Machine, Trust]:
        search = Search(
            self._ports.cloud,
            self._ports.settings.environment,
            order.server_id,
            self._ports.catalogue.places(known.subscription.zone),
            {row.id for row in known.resources},
        )
        try:
            machine = await search.find(order.machine)
        except CloudError as error:
            raise NotAdoptable(f"The cloud did not answer as it should: {error.detail}.") from error
        trust = await establish(
            self._ports, order.server_id, machine, host_key=order.host_key, rebuild=order.rebuild
        )
        return machine, trust

    async def _write(self, lease: Lease, order: Order, machine: Machine, trust: Trust) -> None:
        async with self._store.hold(lease) as held:
            known = await held.load()
            adoptable(known)
            await rows.check(held.session, known, machine, trust, self._ports.settings.platform_zone)
            write = Write(held, lease, lease.claimed_at)
            await rows.write_down(write, held.session, known, machine, trust)
            await self._record(held.session, known.server, order, machine, trust)
            await held.session.flush()
            await leases.wake(held.session, order.server_id)
            await held.release(0)

    async def _record(
        self, session: AsyncSession, server: Server, order: Order, machine: Machine, trust: Trust
    ) -> None:
        await audit.record(
            session,
            workspace_id=server.workspace_id,
            actor="operator",
            action="provisioner.server.adopted",
            target=server.id,
            data={
                "operator": order.operator,
                "instance": machine.instance.id,
                "trust": trust.by,
                "host_key": fingerprint(trust.key) if trust.key else None,
            },
        )


def adoptable(known: Known) -> None:
    """Raises NotAdoptable unless the server is wanted and no machine of its books was ever switched on."""
    server, running = known.server, known.conditions.get("Running")
    if server.deleted_at is not None or server.desired != "present":
        raise NotAdoptable(f"{server.id} is being, or has been, cancelled: what it has is deleted by that.")
    if known.subscription.status not in ("active", "past_due"):
        raise NotAdoptable(f"Its subscription is {known.subscription.status}.")
    if server.ever_ready or (running is not None and running.status == "true"):
        raise NotAdoptable(f"{server.id} has a machine on the books that was switched on.")


def told(machine: Machine, trust: Trust, what: str) -> list[Row]:
    """One row a thing, and one about the host's key."""
    kept = [
        {"kind": part.kind, "id": part.external_id, "zone": machine.zone, "outcome": what}
        for part in machine.parts
    ]
    left = [
        {"kind": kind, "id": key, "zone": machine.zone, "outcome": "stays unowned: the sweeper's"}
        for kind, key in machine.beside
    ]
    facts = trust.facts
    host: Row = {
        "hostname": machine.instance.name,
        "state": machine.instance.state,
        "trust": trust.by,
        "shows": fingerprint(trust.shown) if trust.shown else None,
        "domains": sorted(rows.domains_of(facts)) if facts else None,
        "mailboxes": [box.address for box in facts.mailboxes] if facts else None,
    }
    if trust.by == "none":
        host["next_action"] = ELSEWHERE
    return [host, *kept, *left]


def _unconfirmed(machine: Machine, trust: Trust) -> str:
    if trust.shown is None:
        return f"{machine.instance.name} does not answer over SSH, so its key cannot be confirmed."
    return f"{machine.instance.name} shows {fingerprint(trust.shown)}, which nobody has confirmed."
