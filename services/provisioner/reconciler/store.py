"""Where the reconciler keeps its rows, as a port: PostgreSQL in earnest (`postgres.py`), memory in simulations.

One conformance suite holds for both (`test_store_*.py` in `tests/provisioner/simulation`): what is proven by
simulation is proven of the code that runs.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeVar

from services.provisioner.models import (
    Address,
    CloudResource,
    Condition,
    Domain,
    Mailbox,
    MailboxVerifier,
    Server,
    StepLog,
    Subscription,
)
from services.provisioner.reconciler.lease import Lease
from shared.contracts.envelope import EventData

Row = TypeVar("Row")


@dataclass
class Known:
    """The rows of one server as they were when the pass began, or when they were last reloaded."""

    server: Server
    subscription: Subscription
    resources: list[CloudResource] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    conditions: dict[str, Condition] = field(default_factory=dict)
    domains: list[Domain] = field(default_factory=list)
    leaving: list[Domain] = field(default_factory=list)
    """Domains of another server by now, whose records are still published for this one."""
    mailboxes: list[Mailbox] = field(default_factory=list)
    verifiers: dict[str, MailboxVerifier] = field(default_factory=dict, repr=False)
    arriving: list[Mailbox] = field(default_factory=list)
    """Mailboxes that another server serves still, of domains that move to this one."""
    others: dict[str, Server] = field(default_factory=dict)
    """Servers that domains come from, or go to."""
    others_addresses: dict[str, list[Address]] = field(default_factory=dict)


class Session(Protocol):
    """Rows by their primary key. What is changed on a row that was got is written at the end of the transaction."""

    async def get(self, entity: type[Row], ident: Any, /) -> Row | None: ...
    async def get_one(self, entity: type[Row], ident: Any, /) -> Row: ...
    def add(self, instance: object, /) -> None: ...
    async def delete(self, instance: object, /) -> None: ...
    async def flush(self) -> None: ...


class Held(Protocol):
    """A transaction that holds one server's row, under the fence of a lease."""

    @property
    def session(self) -> Session: ...
    @property
    def server(self) -> Server: ...

    async def conditions(self) -> dict[str, Condition]:
        """The server's conditions by type, to be changed; whoever adds a row puts it here too. Read once."""
        ...

    async def load(self) -> Known:
        """All that belongs to the server, as this transaction sees it; its conditions are those of `conditions`."""
        ...

    async def release(self, after: float) -> None:
        """Gives the server back, to be looked at again in `after` seconds, or at once when it was woken meanwhile.
        Comes last."""
        ...

    def log(self, row: StepLog) -> None:
        """Adds a row to the step log. What it changes of a job's steps is told when the transaction commits."""
        ...

    async def emit(self, event: EventData, *, subject: str, version: int) -> None:
        """Published if, and only if, the transaction commits."""
        ...

    async def audit(self, action: str) -> None: ...

    async def change_status(
        self, subscription: Subscription, status: Literal["past_due", "ended"]
    ) -> None: ...

    async def announce_if_empty(self) -> None:
        """Answers the workspace's deletion request when this was its last server."""
        ...


class Store(Protocol):
    """Its clock alone decides when a lease ends."""

    async def claim(self, owner: str, seconds: float) -> Lease | None:
        """Takes the server that has been due longest and that nobody works on; None when there is none."""
        ...

    async def renew(self, lease: Lease) -> None:
        """A full lease from now on. Raises LostLease."""
        ...

    async def wake(self, server_id: str) -> None:
        """Another server is due now. In a transaction of its own: nobody waits for two servers' rows."""
        ...

    def hold(self, lease: Lease) -> AbstractAsyncContextManager[Held]:
        """Raises LostLease unless the lease is still ours; commits at the end, or rolls back on any exception."""
        ...


@dataclass
class Write:
    """A transaction under our fence, in words. `server` is the row: assign to its attributes."""

    held: Held
    lease: Lease
    now: datetime

    @property
    def session(self) -> Session:
        return self.held.session

    @property
    def server(self) -> Server:
        return self.held.server

    async def emit(self, event: EventData) -> None:
        """Emits a fact about the server, with its next version."""
        self.server.version += 1
        await self.held.emit(event, subject=self.server.id, version=self.server.version)

    def log(
        self,
        step: str,
        outcome: str,
        *,
        subject_id: str | None = None,
        attempt: int = 1,
        message: str = "",
        next_action: str = "",
        error_class: str | None = None,
        evidence: dict[str, Any] | None = None,
    ) -> None:
        """Adds a row to the step log; `subject_id` is the domain or mailbox it is about, else the server."""
        self.held.log(
            StepLog(
                workspace_id=self.server.workspace_id,
                server_id=self.server.id,
                subject_id=subject_id or self.server.id,
                step=step,
                outcome=outcome,
                attempt=attempt,
                generation=self.server.generation,
                fence=self.lease.fence,
                at=self.now,
                error_class=error_class,
                message=message or None,
                next_action=next_action or None,
                evidence=evidence or {},
            )
        )
