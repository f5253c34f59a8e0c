"""What follows from a check: the verdict on a fresh address, the listings of a living one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from sqlalchemy.ext.asyncio import AsyncSession

from services.reputation.checks.checker import Checker, verdict_of
from services.reputation.checks.repository import Repository
from services.reputation.checks.schemas import (
    AddressView,
    CheckView,
    ListingView,
    ListResult,
    ReputationView,
    Verdict,
)
from services.reputation.models import Address, Check, ListingRow
from shared.bus import outbox
from shared.bus.errors import Permanent
from shared.clock import Clock
from shared.contracts.provisioner_events import AddressReserved
from shared.contracts.reputation_events import AddressChecked, AddressCleared, AddressListed, Listing
from shared.errors import NotFound
from shared.ids import new_id

TIER_2_EVERY = 6
TIER_3_EVERY = 24
AGREEING_ROUNDS = 2


@dataclass(frozen=True)
class Pace:
    """Seconds between rounds, before a change is looked at again, before silent lists are asked again."""

    monitor: float
    confirm: float
    unknown_retry: float


def as_listing(item: ListResult) -> Listing:
    return Listing(
        blacklist=item.blacklist,
        tier=item.tier,
        codes=tuple(item.codes),
        meaning=item.meaning,
        reason=item.reason,
        delist_url=item.delist_url,
    )


class Checks:
    """The use cases of one transaction."""

    def __init__(self, session: AsyncSession, clock: Clock, pace: Pace) -> None:
        self._session = session
        self._rows = Repository(session)
        self._clock = clock
        self._pace = pace

    async def reserved(self, event: AddressReserved, checker: Checker) -> None:
        """Checks a fresh address and says what was found. A released one, or one of an ended server, is left alone."""
        if await self._rows.has_ended(event.workspace_id, event.server_id):
            return
        added = await self._rows.add_address(
            id=event.address_id,
            workspace_id=event.workspace_id,
            server_id=event.server_id,
            address=str(ip_address(event.address)),
            family=event.family,
            attempt=event.attempt,
            state="candidate",
        )
        address = await self._rows.locked(event.address_id)
        if address is None or (not added and address.state != "candidate"):
            return
        if address.workspace_id != event.workspace_id:
            raise Permanent(f"{event.address_id} belongs to another workspace")
        await self.record_candidate(address, await checker.check(address.address))

    async def record_candidate(self, address: Address, results: Sequence[ListResult]) -> None:
        """Stores and publishes the verdict; an unknown one is looked at again soon."""
        verdict = await self._store(address, results)
        retry = timedelta(seconds=self._pace.unknown_retry)
        address.next_check_at = self._clock.now() + retry if verdict == "unknown" else None
        await self._session.flush()
        await self._emit_checked(address, verdict, results)

    async def record_live(self, address: Address, results: Sequence[ListResult]) -> None:
        """One monitoring round: opens, confirms and ends listings, publishes those seen in two rounds."""
        now = self._clock.now()
        await self._store(address, results)
        address.rounds += 1
        open_rows = await self._rows.open_listings(address.id)
        confirmed, cleared, unsettled = [], [], False
        for item in results:
            row = open_rows.get(item.blacklist)
            if item.status == "listed":
                if self._seen(address, row, item, now):
                    confirmed.append(item)
                unsettled = unsettled or row is None
            elif item.status == "clean" and row is not None:
                unsettled = self._not_seen(row, now) or unsettled
                if row.cleared_at is not None and row.confirmed_at is not None:
                    cleared.append(row.blacklist)
        pause = self._pace.confirm if unsettled else self._pace.monitor
        address.next_check_at = now + timedelta(seconds=pause)
        await self._session.flush()
        if confirmed:
            await self._emit_listed(address, confirmed)
        if cleared:
            remaining = [
                row.blacklist for row in open_rows.values() if row.confirmed_at and row.cleared_at is None
            ]
            await self._emit_cleared(address, cleared, remaining)

    def _seen(self, address: Address, row: ListingRow | None, item: ListResult, now: datetime) -> bool:
        """Whether this sighting confirms the listing."""
        if row is None:
            listing = ListingRow(
                id=new_id("lst"), workspace_id=address.workspace_id, address_id=address.id,
                blacklist=item.blacklist, tier=item.tier, codes=item.codes, meaning=item.meaning,
                reason=item.reason, delist_url=item.delist_url, first_seen=now, last_seen=now, clean_rounds=0,
            )  # fmt: skip
            self._rows.add_listing(listing)
            return False
        row.last_seen, row.clean_rounds = now, 0
        row.codes, row.meaning, row.reason = item.codes, item.meaning, item.reason
        if row.confirmed_at is not None:
            return False
        row.confirmed_at = now
        return True

    def _not_seen(self, row: ListingRow, now: datetime) -> bool:
        """Whether the end of the listing is still to be confirmed. One never confirmed ends at once."""
        row.clean_rounds += 1
        if row.confirmed_at is None or row.clean_rounds >= AGREEING_ROUNDS:
            row.cleared_at = now
            return False
        return True

    async def _store(self, address: Address, results: Sequence[ListResult]) -> Verdict:
        verdict = verdict_of(results)
        await self._rows.add_check(address, self._clock.now(), verdict, results)
        return verdict

    async def _emit_checked(self, address: Address, verdict: Verdict, results: Sequence[ListResult]) -> None:
        event = AddressChecked(
            workspace_id=address.workspace_id,
            server_id=address.server_id,
            address_id=address.id,
            address=address.address,
            verdict=verdict,
            listings=tuple(as_listing(item) for item in results if item.status in ("listed", "policy")),
            clean=tuple(item.blacklist for item in results if item.status == "clean"),
            unknown=tuple(item.blacklist for item in results if item.status == "unknown"),
        )
        await self._emit(address, event)

    async def _emit_listed(self, address: Address, items: Sequence[ListResult]) -> None:
        event = AddressListed(
            workspace_id=address.workspace_id,
            server_id=address.server_id,
            address_id=address.id,
            address=address.address,
            listings=tuple(as_listing(item) for item in items),
        )
        await self._emit(address, event)

    async def _emit_cleared(self, address: Address, cleared: Sequence[str], remaining: Sequence[str]) -> None:
        event = AddressCleared(
            workspace_id=address.workspace_id,
            server_id=address.server_id,
            address_id=address.id,
            address=address.address,
            cleared=tuple(sorted(cleared)),
            remaining=tuple(sorted(remaining)),
        )
        await self._emit(address, event)

    async def _emit(self, address: Address, event: AddressChecked | AddressListed | AddressCleared) -> None:
        await outbox.emit(
            self._session,
            event,
            subject=address.id,
            workspace_id=address.workspace_id,
            aggregate_version=await self._rows.next_version(address.id),
            clock=self._clock,
        )


def due_tiers(rounds: int, open_tiers: frozenset[int]) -> frozenset[int]:
    """Which tiers a round asks: the first always, the others now and then, and those with an open listing."""
    tiers = {1} | open_tiers
    if rounds % TIER_2_EVERY == 0:
        tiers.add(2)
    if rounds % TIER_3_EVERY == 0:
        tiers.add(3)
    return frozenset(tiers)


async def view_of_server(session: AsyncSession, server_id: str) -> ReputationView:
    """Every address that the server has or had, with its last check and its listings."""
    rows = Repository(session)
    addresses = await rows.of_server(server_id)
    if not addresses:
        raise NotFound
    ids = [address.id for address in addresses]
    checks, listings = await rows.latest_checks(ids), await rows.listings(ids)
    return ReputationView(
        server_id=server_id,
        addresses=[
            _address_view(
                address, checks.get(address.id), [row for row in listings if row.address_id == address.id]
            )
            for address in addresses
        ],
    )


def _address_view(address: Address, check: Check | None, listings: Sequence[ListingRow]) -> AddressView:
    return AddressView.model_validate(
        {
            "id": address.id,
            "address": address.address,
            "family": address.family,
            "attempt": address.attempt,
            "state": address.state,
            "last_check": None
            if check is None
            else CheckView.model_validate(
                {"at": check.at, "verdict": check.verdict, "results": check.results}
            ),
            "listings": [ListingView.model_validate(row, from_attributes=True) for row in listings],
        }
    )
