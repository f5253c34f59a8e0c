"""Making one thing at a cloud that has no idempotency token: exactly one, whatever crashes.

The row comes first, with every input of the call, then the call with tags that name the row, then, in a transaction of
its own, the id that came back. When the answer was lost nothing is sent again until the quiet window has passed: only
the list is read. What turns up later than that belongs to nobody, is never powered on, and is the sweeper's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from services.provisioner.models import CloudResource
from services.provisioner.ports import CloudError, CloudUnavailable
from services.provisioner.reconciler import tags
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.outcomes import Outcome, Wait
from services.provisioner.reconciler.strangers import made_before
from services.provisioner.reconciler.work import Work, Write
from shared.crashpoint import crashpoint
from shared.ids import new_id
from shared.observability.logging import get_logger

T = TypeVar("T")
OBSERVE_SECONDS = 1.0

_log = get_logger("creation")


@dataclass(frozen=True)
class Recipe(Generic[T]):
    """How one kind is made and found. `call(request, tags)` makes it, `find(tag)` lists by one tag, `identify` gives
    id and tags, `details` what to keep. `on_bound` runs in the transaction that binds."""

    kind: str
    slot: str
    request: dict[str, Any]
    call: Callable[[dict[str, Any], Sequence[str]], Awaitable[T]]
    find: Callable[[str], Awaitable[list[T]]]
    identify: Callable[[T], tuple[str, Sequence[str]]]
    details: Callable[[T], dict[str, Any]]
    on_bound: Callable[[Write, CloudResource, T], Awaitable[None]] | None = None
    on_refused: Callable[[Write, CloudError], None] | None = None


async def make(work: Work, recipe: Recipe[T]) -> Outcome:
    """One pass at it. Wait(0) when it was bound now; the caller sees a bound row in the next pass."""
    row = work.resource(recipe.kind, recipe.slot)
    if not work.known.resources and (held := await made_before(work)) is not None:
        return held
    if row is not None and row.state in ("intent", "unknown"):
        found = await _observe(work, recipe, row)
        if found is not None:
            return found
    row = await _intend(work, recipe, row)
    return await _send(work, recipe, row)


async def _observe(work: Work, recipe: Recipe[T], row: CloudResource) -> Outcome | None:
    """Looks for what an earlier try may have made. None when the window has passed and nothing is there."""
    wanted = tags.resource(row.id)
    listed = await recipe.find(wanted)
    mine = [item for item in listed if wanted in recipe.identify(item)[1]]
    if mine:
        mine.sort(key=lambda item: (_born(item), recipe.identify(item)[0]))
        if len(mine) > 1:
            _log.error("more than one was made", server_id=work.server.id, kind=recipe.kind, count=len(mine))
        age = (work.now() - row.intent_at).total_seconds()
        _log.warning("adopted after a lost answer", server_id=work.server.id, kind=recipe.kind, seconds=age)
        await _bind(work, recipe, row, mine[0])
        return Wait(0, "Found")
    left = (row.intent_at - work.now()).total_seconds() + work.settings.quiet_window_seconds
    if left > 0:
        return Wait(
            min(left, OBSERVE_SECONDS),
            "UnknownOutcome",
            "The data centre's answer was lost; we look whether it did what we asked before asking again.",
        )
    return None


def _born(item: Any) -> str:
    created = getattr(item, "created_at", None)
    return created.isoformat() if created else "~"


async def _intend(work: Work, recipe: Recipe[T], row: CloudResource | None) -> CloudResource:
    """Commits the intent of one try. Inputs are fixed by the first one, unless that was definitely refused."""
    crashpoint(f"{recipe.kind}.before_intent")
    async with work.write() as write:
        if row is None:
            row = CloudResource(
                id=new_id("res"),
                workspace_id=work.server.workspace_id,
                server_id=work.server.id,
                kind=recipe.kind,
                slot=recipe.slot,
                zone=work.server.zone,
                attempt=1,
                request=recipe.request,
                state="intent",
                intent_at=write.now,
                details={},
            )
            write.session.add(row)
        else:
            refused = row.state == "planned"
            row = await write.session.get_one(CloudResource, row.id)
            row.attempt += 1
            row.state = "intent"
            row.intent_at = write.now
            if refused:
                row.request = recipe.request
    crashpoint(f"{recipe.kind}.after_intent")
    return row


async def _send(work: Work, recipe: Recipe[T], row: CloudResource) -> Outcome:
    await work.need_lease(work.settings.scaleway_timeout)
    try:
        made = await recipe.call(row.request, tags.of(work.settings.environment, row))
    except CloudUnavailable as error:
        crashpoint(f"{recipe.kind}.after_lost_answer")
        await _mark(work, row, "unknown")
        _log.warning("outcome unknown", server_id=work.server.id, kind=recipe.kind, detail=error.detail)
        return Wait(OBSERVE_SECONDS / 2, "UnknownOutcome", "The data centre's answer was lost; looking.")
    except CloudError as error:
        await _mark(work, row, "planned", recipe, error)
        return outcome_of(error)
    crashpoint(f"{recipe.kind}.after_post")
    await _bind(work, recipe, row, made)
    return Wait(0, "Made")


async def _mark(
    work: Work,
    row: CloudResource,
    state: str,
    recipe: Recipe[T] | None = None,
    error: CloudError | None = None,
) -> None:
    async with work.write() as write:
        stored = await write.session.get_one(CloudResource, row.id)
        stored.state = state
        if state == "unknown":
            stored.intent_at = write.now  # the quiet window counts from the moment when the call was given up
        if recipe is not None and recipe.on_refused is not None and error is not None:
            recipe.on_refused(write, error)


async def _bind(work: Work, recipe: Recipe[T], row: CloudResource, made: T) -> None:
    async with work.write() as write:
        stored = await write.session.get_one(CloudResource, row.id)
        stored.state = "bound"
        stored.external_id = recipe.identify(made)[0]
        stored.details = recipe.details(made)
        stored.bound_at = write.now
        if recipe.on_bound is not None:
            await recipe.on_bound(write, stored, made)
    crashpoint(f"{recipe.kind}.after_bind")


async def forget(work: Work, row: CloudResource) -> None:
    """The thing is gone at the cloud: its slot is free again."""
    async with work.write() as write:
        stored = await write.session.get_one(CloudResource, row.id)
        stored.state = "gone"
        stored.gone_at = write.now


def window_left(work: Work) -> float:
    """Seconds until no create of this server, whose answer we do not have, can still come to pass."""
    unsure = [
        row.intent_at for row in work.known.resources if row.state in ("intent", "unknown") or row.attempt > 1
    ]
    if not unsure:
        return 0.0
    until = max(unsure) + timedelta(seconds=work.settings.quiet_window_seconds)
    return max(0.0, (until - work.now()).total_seconds())
