"""``POST /emails`` and ``GET /emails/{id}`` of Resend.

Source: https://resend.com/docs/api-reference/emails/send-email and /errors
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from email.utils import parseaddr
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults, obey
from sandbox.resend.books import Books, Document

RECIPIENTS_MAX = 50
KEY_MAX = 256
MAIL_FIELDS = {"from", "to", "subject", "html", "text", "cc", "bcc", "reply_to", "headers"}
FIELDS = MAIL_FIELDS | {"attachments", "tags", "scheduled_at", "topic_id", "template"}
_ADDRESS = re.compile(r"^[^@\s<>]+@[^@\s<>]+\.[^@\s<>]+$")
_TAG = re.compile(r"^[A-Za-z0-9_-]{1,256}$")


class ResendError(Exception):
    """An answer ``{"statusCode", "name", "message"}``."""

    def __init__(self, status: int, name: str, message: str) -> None:
        super().__init__(message)
        self.status, self.name, self.message = status, name, message

    def response(self, headers: dict[str, str] | None = None) -> JSONResponse:
        body = {"statusCode": self.status, "name": self.name, "message": self.message}
        return JSONResponse(body, status_code=self.status, headers=headers)


def create_app(books: Books, faults: Faults, key: SecretStr, *, domain: str) -> Starlette:
    """The ASGI application; mails are taken from addresses at `domain`, which is verified, and below it."""

    def authorised(request: Request) -> None:
        header = request.headers.get("authorization", "")
        if not header.startswith("Bearer "):
            raise ResendError(401, "missing_api_key", "Missing API key in the authorization header")
        if not hmac.compare_digest(header.removeprefix("Bearer ").encode(), key.get_secret_value().encode()):
            raise ResendError(403, "invalid_api_key", "API key is invalid")

    def endpoint(operation: str, action: Callable[[Request, bytes], Response]) -> Any:
        async def serve(request: Request) -> Response:
            body = await request.body()

            async def call() -> Response:
                try:
                    return action(request, body)
                except ResendError as error:
                    return error.response()

            try:
                authorised(request)
            except ResendError as error:
                return error.response()
            return await obey(faults.take("resend", operation), call, _refuse)

        return serve

    def send(request: Request, body: bytes) -> Response:
        idempotency_key = request.headers.get("idempotency-key")
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= KEY_MAX:
            raise ResendError(400, "invalid_idempotency_key", f"The key must be between 1-{KEY_MAX} chars")
        mail = _mail(body, domain)
        if idempotency_key is not None:
            same, known = books.replay(idempotency_key, body)
            if not same:
                message = "This idempotency key has been used with a different request body"
                raise ResendError(409, "invalid_idempotent_request", message)
            if known is not None:
                return JSONResponse({"id": known})
        taken = books.add(mail)
        if idempotency_key is not None:
            books.remember(idempotency_key, body, taken["id"])
        return JSONResponse({"id": taken["id"]})

    def retrieve(request: Request, _body: bytes) -> Response:
        found = books.get(request.path_params["id"])
        if found is None:
            raise ResendError(404, "not_found", "Email not found")
        return JSONResponse({"object": "email", "last_event": "delivered", **found})

    return Starlette(
        routes=[
            Route("/emails", endpoint("emails.send", send), methods=["POST"]),
            Route("/emails/{id}", endpoint("emails.get", retrieve), methods=["GET"]),
        ]
    )


def _mail(body: bytes, domain: str) -> Document:
    """The mail as it is kept. Raises ResendError 422, 403."""
    try:
        given = json.loads(body)
    except ValueError:
        raise ResendError(422, "validation_error", "The request body is not valid JSON") from None
    if not isinstance(given, dict):
        raise ResendError(422, "validation_error", "The request body must be an object")
    unknown = sorted(set(given) - FIELDS)
    if unknown:
        raise ResendError(422, "validation_error", f"Unknown field `{unknown[0]}`")
    for field in ("from", "to", "subject"):
        if not given.get(field):
            raise ResendError(422, "missing_required_field", f"Missing `{field}` field")
    if not given.get("html") and not given.get("text"):
        raise ResendError(422, "validation_error", "Missing `html` or `text` field")
    sender = parseaddr(str(given["from"]))[1]
    if not _ADDRESS.match(sender):
        raise ResendError(
            422, "validation_error", "Invalid `from` field. The email address needs to be a valid one"
        )
    if not f".{sender.rpartition('@')[2].lower()}".endswith(f".{domain}"):
        message = (
            f"The {sender.rpartition('@')[2]} domain is not verified. Please, add and verify your domain"
        )
        raise ResendError(403, "validation_error", message)
    for tag in given.get("tags") or []:
        if not isinstance(tag, dict) or not all(
            _TAG.match(str(tag.get(part, ""))) for part in ("name", "value")
        ):
            message = "Tags should only contain ASCII letters, numbers, underscores, or dashes"
            raise ResendError(422, "validation_error", message)
    recipients = {field: _addresses(given.get(field), field) for field in ("to", "cc", "bcc", "reply_to")}
    texts = {field: given.get(field) for field in ("subject", "html", "text", "headers", "tags")}
    return {"from": given["from"], **recipients, **texts}


def _addresses(value: Any, field: str) -> list[str]:
    found = [value] if isinstance(value, str) else list(value or [])
    if len(found) > RECIPIENTS_MAX:
        raise ResendError(422, "validation_error", f"`{field}` holds at most {RECIPIENTS_MAX} addresses")
    addresses = [parseaddr(str(each))[1] for each in found]
    if not all(_ADDRESS.match(each) for each in addresses):
        raise ResendError(422, "validation_error", f"Invalid `{field}` field")
    return addresses


def _refuse(fault: Fault) -> Response:
    if fault.kind == "rate_limit":
        headers = {
            "retry-after": str(max(1, round(fault.seconds))),
            "ratelimit-limit": "2",
            "ratelimit-remaining": "0",
        }
        message = "Too many requests. You can only make 2 requests per second"
        return ResendError(429, "rate_limit_exceeded", message).response(headers)
    if fault.kind == "not_found":
        return ResendError(404, "not_found", "The requested endpoint does not exist").response()
    return ResendError(fault.status, "application_error", "Something went wrong").response()
