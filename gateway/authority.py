"""What the gateway remembers of who may act where: a snapshot of auth's, kept true by numbered events.

Every change in auth has the next number. As long as none is missing and a heartbeat is heard every few seconds the
map is as good as asking; otherwise `fresh` is False, and callers ask auth about each request instead.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from shared.contracts.auth_events import ApiKeyRevoked, Heartbeat, MembershipChanged, SessionRevoked
from shared.errors import Unavailable

AuthorityEvent = MembershipChanged | SessionRevoked | ApiKeyRevoked | Heartbeat
T = TypeVar("T")
ATTEMPTS: Final = 5
REMEMBER_SECONDS: Final = 660.0
"""Longer than an access token lives, and than a key's introspection is believed."""


@dataclass(frozen=True)
class Snapshot:
    """Complete up to event `sequence`."""

    sequence: int
    roles: Mapping[tuple[str, str], str]
    revoked_sessions: frozenset[str]

    @classmethod
    def parse(cls, answer: Any) -> Snapshot:
        """From the body of auth's `GET /internal/memberships`."""
        return cls(
            sequence=int(answer["sequence"]),
            roles={
                (str(item["account_id"]), str(item["workspace_id"])): str(item["role"])
                for item in answer["memberships"]
            },
            revoked_sessions=frozenset(map(str, answer["revoked_sessions"])),
        )


class Gap(Exception):
    """An event is missing: what is remembered may be wrong."""


class Authority:
    """Memberships and revocations, as of event `sequence`."""

    def __init__(self, *, silence_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._silence = silence_seconds
        self._monotonic = monotonic
        self._roles: dict[tuple[str, str], str] = {}
        self._ended: dict[str, float] = {}
        self._loaded = False
        self._heard_at = float("-inf")
        self.sequence = 0
        self.generation = 0
        """Grows whenever all that was derived from the map has to be forgotten."""
        self.applied = 0

    # -- asking --------------------------------------------------------------------------------------------

    @property
    def fresh(self) -> bool:
        """Whether answers from here can be trusted now."""
        return self._loaded and self._monotonic() - self._heard_at <= self._silence

    @property
    def mark(self) -> tuple[int, int]:
        """Differs after anything was learned."""
        return self.generation, self.sequence

    async def settled(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of `ask()`; asked again when something was learned meanwhile, for then the answer may be of
        before the change, and whoever acknowledged the change must not act on it. Raises Unavailable."""
        for _ in range(ATTEMPTS):
            mark = self.mark
            answer = await ask()
            if mark == self.mark:
                return answer
        raise Unavailable("Rights are being changed at the moment.", retry_after=1)

    def role(self, account_id: str, workspace_id: str) -> str | None:
        return self._roles.get((account_id, workspace_id))

    def ended(self, identifier: str) -> bool:
        """Whether a session or an API key was revoked lately."""
        return identifier in self._ended

    # -- learning ------------------------------------------------------------------------------------------

    def load(self, snapshot: Snapshot) -> None:
        self._roles = dict(snapshot.roles)
        self._forget_old()
        self._note_ended(snapshot.revoked_sessions)
        self.sequence = snapshot.sequence
        self.generation += 1
        self._loaded = True

    def doubt(self) -> None:
        """Until the next snapshot nothing from here is trusted."""
        self._loaded = False
        self.generation += 1

    def apply(self, event: AuthorityEvent, age_seconds: float) -> None:
        """Takes in an event that is `age_seconds` old. Raises Gap when one before it was never seen."""
        if isinstance(event, Heartbeat):
            if event.sequence > self.sequence:
                raise Gap(f"heard of {event.sequence}, have {self.sequence}")
        elif event.sequence > self.sequence + 1:
            raise Gap(f"got {event.sequence}, have {self.sequence}")
        elif event.sequence == self.sequence + 1:
            self._take(event)
            self.sequence = event.sequence
            self.applied += 1
        self._heard_at = max(self._heard_at, self._monotonic() - max(age_seconds, 0.0))

    def _take(self, event: MembershipChanged | SessionRevoked | ApiKeyRevoked) -> None:
        if isinstance(event, MembershipChanged):
            key = (event.account_id, event.workspace_id)
            if event.role is None:
                self._roles.pop(key, None)
            else:
                self._roles[key] = event.role
        elif isinstance(event, SessionRevoked):
            self._note_ended((event.session_id,))
        else:
            self._note_ended((event.key_id,))

    def _note_ended(self, identifiers: Iterable[str]) -> None:
        now = self._monotonic()
        for identifier in identifiers:
            self._ended[identifier] = now
        if len(self._ended) % 1024 == 0:
            self._forget_old()

    def _forget_old(self) -> None:
        oldest = self._monotonic() - REMEMBER_SECONDS
        self._ended = {identifier: at for identifier, at in self._ended.items() if at >= oldest}
