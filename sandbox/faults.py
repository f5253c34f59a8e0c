"""Faults: what a vendor does wrong, on request and by habit.

A *fault* is armed through the control API for one vendor and operation and is used up by ``count`` calls.
A *habit* is a small misbehaviour that every real vendor shows from time to time; habits are on by default, come
round every so many calls, at places fixed by the seed, so that the same run misbehaves in the same way twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from starlette.responses import Response

FaultKind = Literal[
    "error_before",  # refused with `status` before anything changed
    "error_after_commit",  # the change was made, the answer is lost and `status` comes instead
    "delay",  # the answer comes `seconds` later
    "rate_limit",  # 429 in the vendor's own shape, retry after `seconds`
    "not_found",  # 404 in the vendor's own shape, although the thing exists
    "empty_list",  # a list answers with no items
    "out_of_stock",  # a cloud has no such machine now
    "malformed",  # 200 with a body that is not JSON
    "duplicate",  # a notification is delivered twice
    "reorder",  # a notification overtakes the one before it
]
KINDS: tuple[str, ...] = get_args(FaultKind)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. ``count`` is how many calls it spoils; ``seconds`` is for delay and rate_limit."""

    kind: FaultKind
    status: int = 503
    seconds: float = 0.0
    count: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; known: {', '.join(KINDS)}")
        if self.count < 1 or self.seconds < 0 or not 400 <= self.status <= 599:
            raise ValueError("count must be >= 1, seconds >= 0 and status an HTTP error status")


@dataclass(frozen=True)
class Habit:
    """A default misbehaviour: ``fault`` strikes one call out of ``every`` of this operation."""

    vendor: str
    operation: str
    every: int
    fault: Fault
    what: str


HABITS: tuple[Habit, ...] = (
    Habit(
        "cloudflare",
        "dns_records.list",
        11,
        Fault("error_before", status=502),
        "one record listing in 11 answers 502 from the edge",
    ),
    Habit(
        "cloudflare",
        "dns_records.batch",
        7,
        Fault("error_after_commit", status=504),
        "one batch in 7 is committed and answers 504",
    ),
    Habit("cloudflare", "zones.get", 9, Fault("delay", seconds=0.4), "one zone read in 9 takes 0.4 s"),
    Habit("stripe", "webhook.invoice.paid", 1, Fault("duplicate"), "each invoice.paid is delivered twice"),
    Habit(
        "stripe",
        "webhook.checkout.session.completed",
        2,
        Fault("reorder"),
        "every second checkout.session.completed arrives after the invoice.paid that follows it",
    ),
    Habit(
        "resend", "emails.send", 6, Fault("error_before", status=500), "one mail in 6 answers 500 at first"
    ),
    Habit(
        "resend",
        "webhook.email.delivered",
        3,
        Fault("duplicate"),
        "one email.delivered in 3 is told twice",
    ),
)


class Faults:
    """The armed faults and the habits of all vendors."""

    def __init__(self, *, seed: int = 0, quiet: bool = False, habits: Iterable[Habit] = HABITS) -> None:
        self._seed = seed
        self._quiet = quiet
        self._armed: dict[tuple[str, str], list[Fault]] = {}
        self._habits: dict[tuple[str, str], Habit] = {}
        self._silenced: set[str] = set()
        self._calls: dict[tuple[str, str], int] = {}
        self.add_habits(habits)

    def add_habits(self, habits: Iterable[Habit]) -> None:
        """Let a vendor's own package add its default misbehaviours."""
        for habit in habits:
            self._habits[(habit.vendor, habit.operation)] = habit

    def arm(self, vendor: str, operation: str, fault: Fault) -> None:
        """Spoil the next ``fault.count`` calls of `operation` (``*`` = any operation of this vendor)."""
        self._armed.setdefault((vendor, operation), []).append(fault)

    def disarm(self, vendor: str, operation: str | None = None) -> None:
        """Forget the armed faults of an operation, or of the whole vendor."""
        for key in [k for k in self._armed if k[0] == vendor and operation in (None, k[1])]:
            del self._armed[key]

    def habits_on(self, vendor: str, on: bool) -> None:
        """Switch a vendor's default misbehaviours on or off."""
        if on:
            self._silenced.discard(vendor)
        else:
            self._silenced.add(vendor)

    def take(self, vendor: str, operation: str) -> Fault | None:
        """The fault that this call meets, used up by asking; armed ones come before habits."""
        for key in ((vendor, operation), (vendor, "*")):
            queue = self._armed.get(key)
            if queue:
                fault = queue[0]
                if fault.count > 1:
                    queue[0] = replace(fault, count=fault.count - 1)
                else:
                    queue.pop(0)
                return replace(fault, count=1)
        return self._habit(vendor, operation)

    def _habit(self, vendor: str, operation: str) -> Fault | None:
        habit = self._habits.get((vendor, operation))
        if habit is None or self._quiet or vendor in self._silenced:
            return None
        calls = self._calls.get((vendor, operation), 0)
        self._calls[(vendor, operation)] = calls + 1
        digest = hashlib.sha256(f"{self._seed}:{vendor}:{operation}".encode()).digest()
        return habit.fault if calls % habit.every == digest[0] % habit.every else None

    def view(self, vendor: str) -> dict[str, Any]:
        """What is armed and which habits are on, for the control API."""
        return {
            "armed": [
                {"operation": operation, **asdict(fault)}
                for (owner, operation), queue in self._armed.items()
                if owner == vendor
                for fault in queue
            ],
            "habits_on": not self._quiet and vendor not in self._silenced,
            "habits": [
                {"operation": h.operation, "every": h.every, "what": h.what}
                for h in self._habits.values()
                if h.vendor == vendor
            ],
        }


async def obey(
    fault: Fault | None, call: Callable[[], Awaitable[Response]], refuse: Callable[[Fault], Response]
) -> Response:
    """Answer one HTTP call under a fault; `refuse` renders a refusal in the vendor's own shape.

    ``empty_list``, ``out_of_stock`` and the notification kinds are the vendor's to play: `call` is run as it is.
    """
    if fault is None:
        return await call()
    if fault.kind == "delay":
        await asyncio.sleep(fault.seconds)
        return await call()
    if fault.kind in ("error_before", "rate_limit", "not_found"):
        return refuse(fault)
    if fault.kind == "error_after_commit":
        await call()
        return refuse(fault)
    if fault.kind == "malformed":
        return Response("<html><head><title>Bad gateway</title></head></html>", media_type="text/html")
    return await call()
