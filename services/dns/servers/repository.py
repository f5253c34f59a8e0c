"""Name sets, their record states, and the event that tells of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.dns.models import PLATFORM, Nameset, OwnedRecord, RecordPlan, RecordState, WriteIntent, Zone
from shared.bus import outbox
from shared.contracts.dns_events import DomainBroken, DomainState, DomainVerified, NamesetVerified
from shared.contracts.dns_events import RecordState as RecordFact
from shared.contracts.envelope import EventData
from shared.errors import NotFound


@dataclass
class Outcome:
    """What one pass over a name set found. `states` replaces the stored rows."""

    forward: bool = False
    reverse: bool = False
    gone: bool = False
    problem: str | None = None
    domains: tuple[DomainState, ...] = ()
    states: list[RecordState] = field(default_factory=list)
    written: bool = False
    healed: bool = False


async def get(session: AsyncSession, server_id: str) -> Nameset:
    """Raises `NotFound` for an unknown or foreign server."""
    row = await session.get(Nameset, server_id)
    if row is None:
        raise NotFound
    return row


async def states_of(session: AsyncSession, server_id: str) -> Sequence[RecordState]:
    query = select(RecordState).where(RecordState.server_id == server_id)
    return (await session.scalars(query.order_by(RecordState.name, RecordState.type))).all()


async def zones_of(session: AsyncSession, workspace_id: str) -> Sequence[Zone]:
    return (await session.scalars(select(Zone).where(Zone.workspace_id == workspace_id))).all()


async def owned_by(session: AsyncSession, server_id: str) -> Sequence[OwnedRecord]:
    return (await session.scalars(select(OwnedRecord).where(OwnedRecord.server_id == server_id))).all()


async def conflicts_in(session: AsyncSession, zone_ids: Collection[str]) -> dict[tuple[str, str], str]:
    """(name, type) → why it was not written, from the newest plan of each zone."""
    query = select(RecordPlan.content).where(RecordPlan.zone_id.in_(zone_ids), RecordPlan.state == "ready")
    found: dict[tuple[str, str], str] = {}
    for content in await session.scalars(query):
        for item in content.get("conflicts", []):
            found[item["name"], item["type"]] = item["explanation"]
    return found


async def open_intents(session: AsyncSession, nameset: Nameset, since: datetime) -> int:
    """Batches whose outcome is not known and that may have written something for this server just now."""
    query = (
        select(func.count())
        .select_from(WriteIntent)
        .where(WriteIntent.workspace_id == nameset.workspace_id, WriteIntent.created_at > since)
    )
    query = query.where((WriteIntent.server_id == nameset.server_id) | (WriteIntent.zone_id != PLATFORM))
    return await session.scalar(query) or 0


async def forget_missing(session: AsyncSession, server_id: str, *, give_up: bool) -> list[OwnedRecord]:
    """Drops our rows of records that the provider no longer lists; with `give_up`, those in customers' zones that
    cannot be reached any more too, which are returned."""
    rows = await owned_by(session, server_id)
    left: list[OwnedRecord] = []
    for row in rows:
        if row.missing_since is not None:
            await session.delete(row)
        elif give_up and row.zone_id != PLATFORM:
            left.append(row)
            await session.delete(row)
    return left


async def wake_zones(session: AsyncSession, workspace_id: str, now: datetime) -> None:
    """Has the workspace's zones looked at, and planned, now."""
    await session.execute(
        update(Zone).where(Zone.workspace_id == workspace_id, Zone.state == "proven").values(due_at=now)
    )


async def wake_namesets(session: AsyncSession, workspace_id: str, now: datetime) -> None:
    """Has the workspace's names looked at now, and often again for a while."""
    await session.execute(
        update(Nameset)
        .where(Nameset.workspace_id == workspace_id, Nameset.gone.is_(False))
        .values(due_at=now, pending_since=now)
    )


async def save(
    session: AsyncSession, seen: Nameset, outcome: Outcome, *, now: datetime, next_in: timedelta
) -> bool:
    """Stores the outcome of a pass over `seen` and publishes it if anything has changed.

    False, and nothing stored, when the row has moved on since: a newer generation, or another worker's lease.
    """
    row = await session.get(Nameset, seen.server_id, with_for_update=True)
    if row is None or row.fence != seen.fence or row.aggregate_version != seen.aggregate_version:
        return False
    settled = row.due_at == seen.due_at  # else something woke the row while we looked
    row.lease_until = None
    row.due_at = now + next_in if settled else row.due_at
    row.forward, row.reverse, row.gone, row.problem = (
        outcome.forward,
        outcome.reverse,
        outcome.gone,
        outcome.problem,
    )
    if outcome.written:
        row.written_generation = row.generation
    if outcome.healed:
        row.healed_at = now
    await _replace_states(session, seen.server_id, outcome.states)
    await _publish(session, row, outcome)
    return True


async def release(session: AsyncSession, seen: Nameset, *, now: datetime, next_in: timedelta) -> None:
    """Gives a claimed row back without an outcome."""
    await session.execute(
        update(Nameset)
        .where(Nameset.server_id == seen.server_id, Nameset.fence == seen.fence)
        .values(
            lease_until=None,
            due_at=case((Nameset.due_at == seen.due_at, now + next_in), else_=Nameset.due_at),
        )
    )


async def _replace_states(session: AsyncSession, server_id: str, states: Sequence[RecordState]) -> None:
    keys = {(state.name, state.type) for state in states}
    for row in await states_of(session, server_id):
        if (row.name, row.type) not in keys:
            await session.delete(row)
    for state in states:
        await session.merge(state)


async def _publish(session: AsyncSession, row: Nameset, outcome: Outcome) -> None:
    event = NamesetVerified(
        workspace_id=row.workspace_id,
        server_id=row.server_id,
        generation=row.generation,
        withdrawn=row.withdrawn,
        forward=outcome.forward,
        reverse=outcome.reverse,
        domains=outcome.domains,
        records=tuple(
            RecordFact.model_validate(
                {
                    "name": state.name, "type": state.type, "state": state.state, "dnssec": state.dnssec,
                    "detail": state.detail,
                }
            )
            for state in outcome.states
        ),
    )  # fmt: skip
    content = _without_detail(event)
    before = dict(row.emitted)
    told = before.pop("told", None)
    if content == before:
        return
    row.version += 1
    await outbox.emit(
        session, event, subject=row.server_id, workspace_id=row.workspace_id, aggregate_version=row.version
    )
    known = (
        told
        if told is not None
        else [one["domain_id"] for one in before.get("domains", ()) if one["verified"]]
    )
    row.emitted = {**content, "told": await _tell_domains(session, row, outcome, frozenset(known))}


async def _tell_domains(
    session: AsyncSession, row: Nameset, outcome: Outcome, told: frozenset[str]
) -> list[str]:
    """Tells what has become of each sending domain; `told`, and the answer, are the ids of those told verified last.

    A domain is not broken while its records are only on their way.
    """
    verified = set(told)
    for domain in outcome.domains:
        facts = {"workspace_id": row.workspace_id, "server_id": row.server_id}
        event: EventData
        if domain.verified and domain.domain_id not in told:
            event = DomainVerified(**facts, domain_id=domain.domain_id, name=domain.name)
            verified.add(domain.domain_id)
        elif (
            not domain.verified
            and domain.domain_id in told
            and (records := _broken(outcome, domain.domain_id))
        ):
            event = DomainBroken(**facts, domain_id=domain.domain_id, name=domain.name, records=records)
            verified.discard(domain.domain_id)
        else:
            continue
        await outbox.emit(
            session,
            event,
            subject=domain.domain_id,
            workspace_id=row.workspace_id,
            aggregate_version=row.version,
        )
    return sorted(verified & {domain.domain_id for domain in outcome.domains})


def _broken(outcome: Outcome, domain_id: str) -> tuple[str, ...]:
    return tuple(
        f"{state.name} {state.type}"
        for state in outcome.states
        if state.domain_id == domain_id and state.required and state.state in ("missing", "wrong", "conflict")
    )


def _without_detail(event: NamesetVerified) -> dict[str, Any]:
    """What counts as a change: the wording of a detail does not."""
    content = event.model_dump(mode="json")
    for record in content["records"]:
        record.pop("detail")
    return content


async def forget(session: AsyncSession, workspace_id: str) -> None:
    """Removes every row of a workspace's servers."""
    for model in (RecordState, OwnedRecord, WriteIntent, Nameset):
        await session.execute(delete(model).where(model.workspace_id == workspace_id))
