"""A client of the public API, as a customer's own program would use it, which remembers what was said."""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx


class UnexpectedReply(RuntimeError):
    """The API answered with another status than the step needs; the text holds the problem document."""


@dataclass(frozen=True)
class Reply:
    """What came back. `shown` is fit for evidence: the values of secret fields are left out."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def shown(self) -> dict[str, Any]:
        try:
            content: Any = redact(self.json)
        except ValueError:
            content = f"({len(self.body)} bytes of {self.headers.get('content-type', 'nothing')})"
        return {"status": self.status, "body": content}


SECRET_FIELDS = {
    "access_token", "token", "password", "refresh_token", "key", "secret", "checkout_url", "otpauth_uri",
    "recovery_codes",
}  # fmt: skip


def redact(value: Any) -> Any:
    """The same structure, secrets replaced: evidence is kept on disk, credentials are not."""
    if isinstance(value, dict):
        return {
            k: "***" if k in SECRET_FIELDS and isinstance(v, str | list) else redact(v)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [redact(item) for item in value]
    return value


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event, with the moment at which the client had it (Unix time, seconds)."""

    event: str
    id: str
    data: Any
    at: float


class Api:
    """Speaks to `base_url` as one principal: nobody, a signed-in person, or an API key."""

    def __init__(self, base_url: str, ca_file: Path, credential: str | None = None) -> None:
        self.base_url = base_url
        self.ca_file = ca_file
        self.credential = credential
        self._client = httpx.AsyncClient(
            base_url=base_url, verify=ssl.create_default_context(cafile=ca_file), timeout=httpx.Timeout(30)
        )

    def as_bearer(self, credential: str) -> Api:
        return Api(self.base_url, self.ca_file, credential)

    async def close(self) -> None:
        await self._client.aclose()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credential}"} if self.credential else {}

    async def send(self, method: str, path: str, body: Any = None) -> Reply:
        """One request; every POST carries an Idempotency-Key of its own."""
        headers = self._headers()
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        answer = await self._client.request(method, path, json=body, headers=headers)
        return Reply(answer.status_code, dict(answer.headers), answer.content)

    async def expect(self, status: int, method: str, path: str, body: Any = None) -> Any:
        """As `send`, but any other status than `status` is an error; returns the JSON body."""
        reply = await self.send(method, path, body)
        if reply.status != status:
            raise UnexpectedReply(
                f"{method} {path} answered {reply.status} instead of {status}: {reply.body.decode()}"
            )
        return reply.json if reply.body else None

    async def get(self, path: str) -> Any:
        return await self.expect(200, "GET", path)

    async def items(self, path: str) -> list[Any]:
        """All items of a paged list."""
        found: list[Any] = []
        cursor = None
        while True:
            page = await self.get(path + (f"?cursor={cursor}" if cursor else ""))
            found += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return found

    async def stream(self, path: str, seconds: float) -> AsyncIterator[StreamEvent]:
        """Server-sent events (WHATWG HTML, 9.2) of `path`, resumed by Last-Event-ID, for at most `seconds`."""
        deadline = time.monotonic() + seconds
        last = ""
        while time.monotonic() < deadline:
            headers = self._headers() | {"Accept": "text/event-stream"}
            if last:
                headers["Last-Event-ID"] = last
            try:
                async with self._client.stream("GET", path, headers=headers) as answer:
                    if answer.status_code != 200:
                        raise UnexpectedReply(
                            f"GET {path} answered {answer.status_code}: {await answer.aread()!r}"
                        )
                    async for event in _parse(answer.aiter_lines()):
                        last = event.id or last
                        yield event
                        if time.monotonic() > deadline:
                            return
            except (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout):
                continue  # a stream may break; the next one goes on after the last event


async def _parse(lines: AsyncIterator[str]) -> AsyncIterator[StreamEvent]:
    kind, identifier, data = "message", "", list[str]()
    async for line in lines:
        if line == "":
            if data:
                yield StreamEvent(kind, identifier, json.loads("\n".join(data)), time.time())
            kind, identifier, data = "message", "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "id":
            identifier = value
        elif name == "data":
            data.append(value)
