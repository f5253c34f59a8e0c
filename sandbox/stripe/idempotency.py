"""``Idempotency-Key``: the first answer to a POST is kept for a day and given again.

Source: https://docs.stripe.com/api/idempotent_requests
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from sandbox.store import Store
from sandbox.stripe.errors import StripeError

LIFE_SECONDS = 86_400
KEY_MAX = 255


class Idempotency:
    """Kept answers by caller and key. `now` gives Unix time."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now
        self._running: set[str] = set()

    async def run(
        self, caller: str, key: str, request: bytes, call: Callable[[], Awaitable[Response]]
    ) -> Response:
        """The kept answer, or that of `call`. Raises StripeError for another request under the same key."""
        if len(key) > KEY_MAX:
            raise StripeError(
                400, f"Idempotency keys have at most {KEY_MAX} characters.", kind="idempotency_error"
            )
        slot = f"{caller}:{key}"
        fingerprint = hashlib.sha256(request).hexdigest()
        kept = self._store.get("idempotency", slot)
        if kept is not None and kept["at"] + LIFE_SECONDS > self._now():
            if kept["request"] != fingerprint:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                    f" Try using a key other than '{key}' if you meant to execute a different request."
                )
                raise StripeError(400, message, kind="idempotency_error")
            return Response(
                kept["body"],
                status_code=kept["status"],
                media_type="application/json",
                headers={"Idempotent-Replayed": "true", "Original-Request": kept["id"]},
            )
        if slot in self._running:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key.",
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        self._running.add(slot)
        try:
            response = await call()
        finally:
            self._running.discard(slot)
        if response.status_code < 400 or response.status_code >= 500:
            answer = {"at": self._now(), "request": fingerprint, "status": response.status_code}
            answer |= {"body": bytes(response.body).decode(), "id": response.headers.get("Request-Id", "")}
            self._store.put("idempotency", slot, answer)
        return response
