"""Key Manager v1alpha1: symmetric keys that seal and open, with real AES-256-GCM inside.

Source: https://www.scaleway.com/en/developers/api/key-manager/. A ciphertext is
`0x01 | rotation u32 | nonce 12 | ciphertext | tag 16`; authenticated with it are the key's id and the associated data.
A key's material (one per rotation) is in the books' file and in no answer.
"""

from __future__ import annotations

import base64
import os
import struct
from typing import Any, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from sandbox.scaleway import errors
from sandbox.scaleway.projects import own_project
from sandbox.scaleway.routing import Call, Routing, counted_page
from sandbox.scaleway.world import ENCRYPTION_KEY, World, new_id, now
from sandbox.store import Document

LARGEST_PLAINTEXT = 65_535
LARGEST_CIPHERTEXT = 131_071
_HEADER = struct.Struct(">BI")
_NONCE = 12


class Usage(BaseModel):
    symmetric_encryption: Literal["aes_256_gcm"]


class CreateKey(BaseModel):
    project_id: str | None = None
    name: str = ""
    usage: Usage
    description: str | None = None
    tags: list[str] = Field(default_factory=list)
    unprotected: bool = False
    origin: Literal["scaleway_kms"] = "scaleway_kms"


class UpdateKey(BaseModel):
    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None


class Encrypt(BaseModel):
    plaintext: str
    associated_data: str | None = None


class Decrypt(BaseModel):
    ciphertext: str
    associated_data: str | None = None


class GenerateDataKey(BaseModel):
    """It takes no associated data."""

    algorithm: Literal["aes_256_gcm"] = "aes_256_gcm"
    without_plaintext: bool = False


class KeyManager:
    def __init__(self, world: World, routing: Routing) -> None:
        self._world = world
        keys = "/key-manager/v1alpha1/regions/{region}/keys"
        one = f"{keys}/{{id}}"
        routing.add("GET", keys, "keys.list", self.list_all)
        routing.add("POST", keys, "keys.create", self.create)
        routing.add("GET", one, "keys.get", self.get)
        routing.add("PATCH", one, "keys.update", self.update)
        routing.add("DELETE", one, "keys.delete", self.delete)
        for action, operation, handler in (
            ("restore", "keys.restore", self.restore),
            ("rotate", "keys.rotate", self.rotate),
            ("enable", "keys.enable", self.enable),
            ("disable", "keys.disable", self.disable),
            ("protect", "keys.protect", self.protect),
            ("unprotect", "keys.unprotect", self.unprotect),
            ("generate-data-key", "keys.generate_data_key", self.generate_data_key),
            ("encrypt", "keys.encrypt", self.encrypt),
            ("decrypt", "keys.decrypt", self.decrypt),
        ):
            routing.add("POST", f"{one}/{action}", operation, handler)

    # -- keys ----------------------------------------------------------------------------------------------

    async def list_all(self, call: Call) -> Response:
        found = [
            each for each in self._world.store.list(ENCRYPTION_KEY) if each["region"] == call.path("region")
        ]
        if call.query("project_id"):
            found = [each for each in found if each["project"] == call.query("project_id")]
        if call.query("name"):
            found = [each for each in found if each["name"] == call.query("name")]
        return counted_page(call, "keys", [render(each) for each in found])

    async def create(self, call: Call) -> Response:
        body = await call.body(CreateKey)
        own_project(self._world, body.project_id)
        document = {
            "id": new_id(),
            "project": self._world.settings.project_id,
            "region": call.path("region"),
            "name": body.name,
            "description": body.description,
            "tags": body.tags,
            "state": "enabled",
            "protected": not body.unprotected,
            "created_at": now(),
            "rotated_at": None,
            "deletion_requested_at": None,
            "material": [os.urandom(32).hex()],
        }
        return self._saved(document)

    async def get(self, call: Call) -> Response:
        return JSONResponse(render(self._find(call)))

    async def update(self, call: Call) -> Response:
        document = self._find(call)
        document.update((await call.body(UpdateKey)).model_dump(exclude_none=True))
        return self._saved(document)

    async def delete(self, call: Call) -> Response:
        """Scheduled: it can be restored for a while, and does nothing until then."""
        document = self._find(call)
        if document["protected"]:
            raise errors.precondition_failed("the key is protected", "resource_protected")
        document |= {"state": "scheduled_for_deletion", "deletion_requested_at": now()}
        self._world.save(ENCRYPTION_KEY, document)
        return Response(status_code=204)

    async def restore(self, call: Call) -> Response:
        return self._saved(self._find(call) | {"state": "enabled", "deletion_requested_at": None})

    async def rotate(self, call: Call) -> Response:
        document = self._enabled(call)
        document["material"].append(os.urandom(32).hex())
        return self._saved(document | {"rotated_at": now()})

    async def enable(self, call: Call) -> Response:
        return self._saved(self._find(call) | {"state": "enabled"})

    async def disable(self, call: Call) -> Response:
        return self._saved(self._find(call) | {"state": "disabled"})

    async def protect(self, call: Call) -> Response:
        return self._saved(self._find(call) | {"protected": True})

    async def unprotect(self, call: Call) -> Response:
        return self._saved(self._find(call) | {"protected": False})

    # -- what keys are for ---------------------------------------------------------------------------------

    async def generate_data_key(self, call: Call) -> Response:
        body = await call.body(GenerateDataKey)
        document = self._enabled(call)
        made = os.urandom(32)
        answer = {
            "key_id": document["id"],
            "algorithm": body.algorithm,
            "ciphertext": _encoded(seal(document, made, b"")),
            "plaintext": None if body.without_plaintext else _encoded(made),
            "created_at": now(),
        }
        return JSONResponse(answer)

    async def encrypt(self, call: Call) -> Response:
        body = await call.body(Encrypt)
        plaintext = _decoded(body.plaintext, "plaintext", LARGEST_PLAINTEXT)
        document = self._enabled(call)
        sealed = seal(document, plaintext, _associated(body.associated_data))
        return JSONResponse({"key_id": document["id"], "ciphertext": _encoded(sealed)})

    async def decrypt(self, call: Call) -> Response:
        """`ciphertext` is there when an older rotation had sealed it: the same, sealed by the newest."""
        body = await call.body(Decrypt)
        given = _decoded(body.ciphertext, "ciphertext", LARGEST_CIPHERTEXT)
        document, associated = self._enabled(call), _associated(body.associated_data)
        rotation, plaintext = open_sealed(document, given, associated)
        newest = rotation == len(document["material"]) - 1
        again = None if newest else _encoded(seal(document, plaintext, associated))
        return JSONResponse({"key_id": document["id"], "plaintext": _encoded(plaintext), "ciphertext": again})

    def _find(self, call: Call) -> Document:
        document = self._world.find(ENCRYPTION_KEY, None, call.path("id"))
        if document["region"] != call.path("region"):
            raise errors.not_found("key", call.path("id"))
        return document

    def _enabled(self, call: Call) -> Document:
        document = self._find(call)
        if document["state"] != "enabled":
            raise errors.precondition_failed(f"the key is {document['state']}", "key_not_enabled")
        return document

    def _saved(self, document: Document) -> Response:
        return JSONResponse(render(self._world.save(ENCRYPTION_KEY, document)))


def render(document: Document) -> dict[str, Any]:
    """A key as the API shows it, and the control API too: without its material."""
    shown = ("id", "name", "description", "tags", "state", "protected", "region", "created_at", "rotated_at")
    return {name: document[name] for name in shown} | {
        "project_id": document["project"],
        "usage": {"symmetric_encryption": "aes_256_gcm"},
        "rotation_count": len(document["material"]) - 1,
        "locked": False,
        "origin": "scaleway_kms",
        "updated_at": document["modification_date"],
        "rotation_policy": None,
        "deletion_requested_at": document["deletion_requested_at"],
    }


def seal(document: Document, plaintext: bytes, associated: bytes) -> bytes:
    rotation, nonce = len(document["material"]) - 1, os.urandom(_NONCE)
    cipher = AESGCM(bytes.fromhex(document["material"][rotation]))
    return _HEADER.pack(1, rotation) + nonce + cipher.encrypt(nonce, plaintext, _bound(document, associated))


def open_sealed(document: Document, given: bytes, associated: bytes) -> tuple[int, bytes]:
    """(rotation that sealed it, plaintext). Raises invalid_arguments."""
    refused = errors.invalid("ciphertext", "constraint", "the payload cannot be decrypted")
    if len(given) < _HEADER.size + _NONCE + 16:
        raise refused
    form, rotation = _HEADER.unpack_from(given)
    if form != 1 or rotation >= len(document["material"]):
        raise refused
    nonce, sealed = given[_HEADER.size : _HEADER.size + _NONCE], given[_HEADER.size + _NONCE :]
    cipher = AESGCM(bytes.fromhex(document["material"][rotation]))
    try:
        return rotation, cipher.decrypt(nonce, sealed, _bound(document, associated))
    except InvalidTag:
        raise refused from None


def _bound(document: Document, associated: bytes) -> bytes:
    return str(document["id"]).encode() + associated


def _associated(value: str | None) -> bytes:
    return b"" if value is None else _decoded(value, "associated_data", LARGEST_PLAINTEXT, least=0)


def _decoded(value: str, argument: str, most: int, least: int = 1) -> bytes:
    try:
        raw = base64.b64decode(value, validate=True)
    except ValueError:
        raise errors.invalid(argument, "format", "must be base64") from None
    if not least <= len(raw) <= most:
        raise errors.invalid(argument, "constraint", f"size must be between {least} and {most} bytes")
    return raw


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
