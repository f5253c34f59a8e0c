"""Answers of other people's servers have an end: in bytes, and in time however slowly they drip.

The HTTP library's timeouts begin anew with each byte, and it reads a body as long as one comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import httpx

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_SECONDS: Final = 60.0


class BoundedTransport(httpx.AsyncBaseTransport):
    """Fails with `httpx.ReadError` when a body is longer than `max_bytes` or packed although plain was asked for,
    and with `httpx.ReadTimeout` when it has not ended `max_seconds` after the request."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        max_bytes: int = MAX_BYTES,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._inner = inner
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        deadline = asyncio.get_running_loop().time() + self._max_seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._inner.handle_async_request(request)
        except TimeoutError:
            raise httpx.ReadTimeout("the answer does not begin", request=request) from None
        assert isinstance(response.stream, httpx.AsyncByteStream)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            await response.stream.aclose()
            raise httpx.ReadError("the answer is packed", request=request)
        response.stream = _Bounded(response.stream, request, self._max_bytes, deadline)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(
        self, inner: httpx.AsyncByteStream, request: httpx.Request, max_bytes: int, deadline: float
    ) -> None:
        self._inner = inner
        self._request = request
        self._left = max_bytes
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._inner)
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise httpx.ReadTimeout("the answer does not end", request=self._request) from None
            self._left -= len(piece)
            if self._left < 0:
                raise httpx.ReadError("the answer is too long", request=self._request)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
