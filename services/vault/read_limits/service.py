"""How many secrets one caller gets to see in an hour, whatever he asks and however many requests he sends at once."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncSession

from services.vault.errors import TooManyReads
from services.vault.read_limits import repository
from shared.clock import Clock
from shared.identity import Identity

Kind = Literal["reveal", "export", "app_password"]

_MANY: dict[Kind, str] = {"reveal": "passwords", "export": "exports", "app_password": "app passwords"}


class ReadLimits:
    """`per_hour` of each kind: as many at once, and one more each time that an hour's share of it has passed."""

    def __init__(self, clock: Clock, per_hour: dict[Kind, int]) -> None:
        self._clock = clock
        self._per_hour = per_hour

    async def take(self, session: AsyncSession, actor: Identity, workspace_id: str, kind: Kind) -> None:
        """Takes one, in the transaction of what it is for: what fails gives it back.

        Callers at the same time wait for one another here. Raises TooManyReads (429).
        """
        most = self._per_hour[kind]
        interval = timedelta(hours=1) / most
        now = self._clock.now()
        if await repository.take(session, workspace_id, actor.subject, kind, now, interval, most):
            return
        free_at = await repository.free_at(session, workspace_id, actor.subject, kind, interval, most)
        seconds = max(1, math.ceil((free_at - now).total_seconds()))
        raise TooManyReads(
            f"One person gets at most {most} {_MANY[kind]} an hour.",
            retry_after=seconds,
            next_action=f"Wait {seconds} seconds, then send the same request again.",
        )
