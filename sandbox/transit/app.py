"""The engine's HTTP API below `/v1/transit`. Source: https://openbao.org/api-docs/secret/transit/"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults, obey
from sandbox.transit.access import Access
from sandbox.transit.books import Books, described, open_sealed, seal
from sandbox.transit.errors import VaultError, invalid

VENDOR = "transit"
MOUNT = "/v1/transit"
WRITE = ["POST", "PUT"]

Given = dict[str, Any]
Action = Callable[[str, str, Given], Given | None]


def create_app(books: Books, faults: Faults, access: Access) -> Starlette:
    """The ASGI application. An action takes namespace, key name and body, and gives the `data` of the answer."""

    def endpoint(operation: str, action: Action) -> Any:
        async def serve(request: Request) -> Response:
            body = await request.body()
            name = request.path_params.get("name", "")

            async def call() -> Response:
                try:
                    data = action(request.headers.get("x-vault-namespace", "").strip("/"), name, _given(body))
                except VaultError as error:
                    return error.response()
                return Response(status_code=204) if data is None else _answer(data)

            try:
                access.check(request, operation, name)
            except VaultError as error:
                return error.response()
            return await obey(faults.take(VENDOR, operation), call, _refuse)

        return serve

    def names(namespace: str, _: str, __: Given) -> Given:
        """By GET alone: the HTTP server does not know the method LIST, which the engine has too."""
        found = books.names(namespace)
        if not found:
            raise VaultError(404)
        return {"keys": found}

    def read(namespace: str, name: str, _: Given) -> Given:
        key = books.find(namespace, name)
        if key is None:
            raise VaultError(404)
        return described(key)

    def create(namespace: str, name: str, given: Given) -> Given:
        if given.get("derived") or given.get("convergent_encryption"):
            raise invalid("derived keys are not offered here")
        return described(books.create(namespace, name, given.get("type") or "aes256-gcm96"))

    def delete(namespace: str, name: str, _: Given) -> None:
        key = books.find(namespace, name)
        if key is None:
            raise invalid(f"error deleting policy {name}: could not delete key; not found")
        books.delete(key)

    def rotate(namespace: str, name: str, _: Given) -> Given:
        key = books.usable(namespace, name)
        books.rotate(key)
        return described(key)

    def configure(namespace: str, name: str, given: Given) -> Given:
        key = books.usable(namespace, name)
        books.configure(key, given)
        return described(key)

    def soft_delete(deleted: bool) -> Action:
        def change(namespace: str, name: str, _: Given) -> Given:
            key = books.find(namespace, name)
            if key is None:
                raise VaultError(404)
            books.save(key | {"soft_deleted": deleted})
            return described(key | {"soft_deleted": deleted})

        return change

    def encrypt(namespace: str, name: str, given: Given) -> Given:
        if "plaintext" not in given:
            raise invalid("missing plaintext to encrypt")
        plaintext, associated = _decoded(given, "plaintext"), _decoded(given, "associated_data")
        version = given.get("key_version", 0)
        if not isinstance(version, int):
            raise invalid("error converting input for field 'key_version'")
        ciphertext, used = seal(books.usable(namespace, name), plaintext, associated, version)
        return {"ciphertext": ciphertext, "key_version": used}

    def decrypt(namespace: str, name: str, given: Given) -> Given:
        ciphertext, associated = (
            _ciphertext(given, "missing ciphertext to decrypt"),
            _decoded(given, "associated_data"),
        )
        opened = open_sealed(books.usable(namespace, name), ciphertext, associated)
        return {"plaintext": base64.b64encode(opened).decode()}

    def rewrap(namespace: str, name: str, given: Given) -> Given:
        """Without associated data, whatever is given: what was sealed with some does not open here."""
        key = books.usable(namespace, name)
        opened = open_sealed(key, _ciphertext(given, "missing ciphertext to decrypt"), b"")
        ciphertext, used = seal(key, opened, b"", 0)
        return {"ciphertext": ciphertext, "key_version": used}

    one = f"{MOUNT}/keys/{{name}}"
    return Starlette(
        routes=[
            Route(f"{MOUNT}/keys", endpoint("keys.list", names), methods=["GET"]),
            Route(one, endpoint("keys.read", read), methods=["GET"]),
            Route(one, endpoint("keys.create", create), methods=WRITE),
            Route(one, endpoint("keys.delete", delete), methods=["DELETE"]),
            Route(f"{one}/rotate", endpoint("keys.rotate", rotate), methods=WRITE),
            Route(f"{one}/config", endpoint("keys.configure", configure), methods=WRITE),
            Route(f"{one}/soft-delete", endpoint("keys.soft_delete", soft_delete(True)), methods=["DELETE"]),
            Route(f"{one}/soft-delete-restore", endpoint("keys.restore", soft_delete(False)), methods=WRITE),
            Route(f"{MOUNT}/encrypt/{{name}}", endpoint("encrypt", encrypt), methods=WRITE),
            Route(f"{MOUNT}/decrypt/{{name}}", endpoint("decrypt", decrypt), methods=WRITE),
            Route(f"{MOUNT}/rewrap/{{name}}", endpoint("rewrap", rewrap), methods=WRITE),
        ],
        exception_handlers={404: _no_route, 405: _no_route},
    )


def _given(body: bytes) -> Given:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError:
        raise invalid("failed to parse JSON input: invalid character") from None
    if not isinstance(found, dict):
        raise invalid("failed to parse JSON input: json: cannot unmarshal into an object")
    return found


def _decoded(given: Given, field: str) -> bytes:
    try:
        return base64.b64decode(given.get(field) or "", validate=True)
    except (ValueError, TypeError):
        raise invalid(f"failed to base64-decode {field}: illegal base64 data") from None


def _ciphertext(given: Given, missing: str) -> str:
    found = given.get("ciphertext")
    if not isinstance(found, str) or not found:
        raise invalid(missing)
    return found


def _answer(data: Given) -> JSONResponse:
    envelope = {"request_id": str(uuid.uuid4()), "lease_id": "", "renewable": False, "lease_duration": 0}
    return JSONResponse(envelope | {"data": data, "wrap_info": None, "warnings": None, "auth": None})


def _refuse(fault: Fault) -> Response:
    if fault.kind == "rate_limit":
        return VaultError(429, "request path rate limit quota exceeded").response()
    if fault.kind == "not_found":
        return VaultError(404).response()
    if fault.status == 503:
        return VaultError(503, "Vault is sealed").response()
    return VaultError(fault.status, "internal error").response()


async def _no_route(request: Request, _: Exception) -> Response:
    return VaultError(404, f"no handler for route {request.url.path.removeprefix('/v1/')!r}").response()
