"""The filter as the pipeline sees it: content, behaviour, and what is done about them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.types import Receive

from gateway.documentation import Documentation
from gateway.filter import score, strict_json
from gateway.filter.body import BodyReader, replay
from gateway.filter.conduct import Conduct
from gateway.filter.declared import Declaration, UnexpectedBody
from gateway.filter.ladder import Rung
from gateway.filter.threats import ThreatLog
from gateway.head import Head
from gateway.proxy import BodyTooLarge
from gateway.routes import Match
from gateway.settings import GatewaySettings
from gateway.trail import Trail
from shared.errors import DomainError, Forbidden, TooManyRequests

DELAY_SECONDS: Final = 1.0
MAX_DELAYED: Final = 100
"""Requests that wait at one time; beyond that they are challenged."""


class BadBody(DomainError):
    status = 400
    code = "bad_json"
    title = "The body cannot be read in one way only"


class Blocked(Forbidden):
    code = "blocked"
    title = "Requests from here are refused for a time"

    def __init__(self, seconds: int) -> None:
        super().__init__(
            "Too much of what came from here looked like an attack.",
            next_action="Wait; sign-ins and keys that work are not affected by their network. Write to us with the "
            "instance given here if this is wrong.",
        )
        self._seconds = seconds

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self._seconds)}


class Guard:
    """`conduct` counts; this class looks into requests and carries out what their senders are due."""

    def __init__(
        self,
        settings: GatewaySettings,
        documentation: Documentation,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._documentation = documentation
        self._reader = BodyReader(settings.max_body_bytes, settings.body_seconds, settings.max_held_bytes)
        self._enforce = settings.filter_action == "enforce"
        self._sleep = sleep
        self._delayed = 0
        self.threats = ThreatLog()
        self.conduct = Conduct(settings, self.threats)

    # -- who sends -----------------------------------------------------------------------------------------

    def minds(self, trail: Trail) -> bool:
        """Whether `admit` has anything to say. Called as soon as it is known who asks."""
        return self.conduct.due(trail).rung is not Rung.OBSERVE

    async def admit(self, trail: Trail) -> None:
        """Lets pass, delays, or raises TooManyRequests or Blocked."""
        due = self.conduct.due(trail)
        if due.rung is Rung.OBSERVE or not self._enforce:
            return
        if due.rung is Rung.BLOCK:
            trail.judged = True
            raise Blocked(due.seconds)
        if due.rung is Rung.CHALLENGE or self._delayed >= MAX_DELAYED:
            raise TooManyRequests(
                "Too many requests from here were refused or looked like an attack.",
                retry_after=max(due.seconds, 1),
                next_action="Slow down, and look at the answers that were not 2xx.",
            )
        self._delayed += 1
        try:
            await self._sleep(DELAY_SECONDS)
        finally:
            self._delayed -= 1

    # -- what is sent --------------------------------------------------------------------------------------

    def examine(self, query: bytes, match: Match, head: Head, trail: Trail) -> Declaration | None:
        """Looks at all but the body, and says what is declared. Raises DomainError. Until a service has been asked for
        its document, its routes pass unexamined: it validates for itself."""
        agent = head.by_name.get(b"user-agent")
        if agent is not None:
            trail.suspicion = score.of_user_agent(agent)
        declared = self._documentation.declared.get((match.route.method, match.route.path))
        if declared is None:
            return None
        if match.declared is not declared:
            declared.check_path(match.params)
            match.declared = declared
        if query:
            values = declared.check_query(query)
            trail.suspicion += score.suspicious((value, False) for value in values.values())
        if declared.headers:
            declared.check_headers(head.by_name)
        return declared

    async def examine_body(
        self, declared: Declaration, headers: Mapping[bytes, bytes], receive: Receive, trail: Trail
    ) -> Receive:
        """What the body is to be read from now. Raises DomainError."""
        if headers.get(b"content-length") == b"0" and b"transfer-encoding" not in headers:
            return receive
        if not declared.media_types:
            return await self._nothing(receive)
        declared.check_media_type(headers.get(b"content-type"))
        if not declared.reads_json:
            return receive
        body = await self._reader.read(receive)
        if body:
            self._read(body, declared, trail)
        return replay(body, receive)

    async def _nothing(self, receive: Receive) -> Receive:
        """For routes without a body. Some clients announce one and send nothing, or `{}` with every POST."""
        try:
            body = await self._reader.read(receive, limit=16)
        except BodyTooLarge:
            body = b"?"
        if body.strip() not in (b"", b"{}"):
            raise UnexpectedBody(next_action="Send the request without a body.")
        return replay(b"", receive)

    def _read(self, body: bytes, declared: Declaration, trail: Trail) -> None:
        try:
            _, leaves = strict_json.read(body)
        except strict_json.BadJson as error:
            raise BadBody(error.reason, next_action="Send plain JSON (RFC 7493).") from None
        trail.suspicion += score.suspicious(declared.to_judge(leaves))
