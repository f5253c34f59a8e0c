"""Asks all lists about one address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Final

from services.reputation.blacklists.catalogue import Blacklist, Catalogue
from services.reputation.checks.query import (
    MUST_LIST,
    MUST_NOT_LIST,
    Clean,
    Result,
    Unknown,
    distrust,
    interpret,
    query_name,
)
from services.reputation.checks.schemas import ListResult, Verdict
from services.reputation.ports import NoAnswer, Resolver

SOUND_SECONDS: Final = 3600.0
UNSOUND_SECONDS: Final = 15.0
REFUSING_TIER_2: Final = 2
ALL_TIERS: Final = frozenset({1, 2, 3})


class Checker:
    """Keeps what the test points said: an hour when a list is sound, seconds when it is not."""

    def __init__(
        self, catalogue: Catalogue, resolver: Resolver, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalogue = catalogue
        self._resolver = resolver
        self._monotonic = monotonic
        self._soundness: dict[tuple[str, int], tuple[float, Unknown | None]] = {}

    async def check(self, address: str, tiers: Collection[int] = ALL_TIERS) -> list[ListResult]:
        """What each list of these tiers says, strongest first. Never raises for what a list does."""
        family = 6 if ":" in address else 4
        lists = [item for item in self._catalogue.for_family(family) if item.tier in tiers]
        return list(await asyncio.gather(*(self._ask(item, address, family) for item in lists)))

    async def _ask(self, item: Blacklist, address: str, family: int) -> ListResult:
        distrusted, result = await asyncio.gather(self._distrust(item, family), self._result(item, address))
        shown = distrusted or result
        common = {"blacklist": item.name, "tier": item.tier, "delist_url": item.delist_url}
        if isinstance(shown, Unknown):
            return ListResult(status="unknown", reason=shown.reason, **common)
        if isinstance(shown, Clean):
            return ListResult(status="clean", **common)
        reason = await self._reason(item, address)
        status = "listed" if shown.counted else "policy"
        return ListResult(
            status=status, codes=list(shown.codes), meaning=shown.meaning, reason=reason, **common
        )

    async def _result(self, item: Blacklist, address: str) -> Result:
        try:
            answer = await self._resolver.query(query_name(address, item.query_zone or ""), "A")
        except NoAnswer:
            return Unknown("no answer in time")
        return interpret(item, answer)

    async def _distrust(self, item: Blacklist, family: int) -> Unknown | None:
        known = self._soundness.get((item.zone, family))
        if known is not None and self._monotonic() < known[0]:
            return known[1]
        listed, unlisted = await asyncio.gather(
            self._result(item, str(MUST_LIST[family])), self._result(item, str(MUST_NOT_LIST[family]))
        )
        verdict = distrust(item, listed, unlisted)
        keep = SOUND_SECONDS if verdict is None else UNSOUND_SECONDS
        self._soundness[item.zone, family] = (self._monotonic() + keep, verdict)
        return verdict

    async def _reason(self, item: Blacklist, address: str) -> str:
        """The list's own words, at most 300 characters; nothing when it has none."""
        try:
            answer = await self._resolver.query(query_name(address, item.query_zone or ""), "TXT")
        except NoAnswer:
            return ""
        text = " ".join(answer.records)
        return "".join(character for character in text if character.isprintable())[:300]


def verdict_of(results: Collection[ListResult]) -> Verdict:
    """Refuses on one listing of tier 1 or two of tier 2; clean when at least half of tier 1 has answered.

    Unknown lists are never counted for or against, but when most of the strong ones are silent nothing is known.
    """
    listed = [item.tier for item in results if item.status == "listed"]
    if 1 in listed or listed.count(2) >= REFUSING_TIER_2:
        return "listed"
    strong = [item for item in results if item.tier == 1] or list(results)
    answered = [item for item in strong if item.status != "unknown"]
    return "clean" if strong and 2 * len(answered) >= len(strong) else "unknown"
