"""SSH keys of the project (IAM v1alpha1): each server gets the enabled ones for root at power on."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from sandbox.scaleway.errors import invalid
from sandbox.scaleway.projects import own_project
from sandbox.scaleway.routing import Call, Routing, counted_page
from sandbox.scaleway.world import SSH_KEY, World, new_id, now
from sandbox.store import Document

KEY_TYPES = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")


class CreateSshKey(BaseModel):
    name: str = Field(min_length=1)
    public_key: str
    project_id: str | None = None


class UpdateSshKey(BaseModel):
    name: str | None = None
    disabled: bool | None = None


class SshKeys:
    def __init__(self, world: World, routing: Routing) -> None:
        self._world = world
        path = "/iam/v1alpha1/ssh-keys"
        routing.add("GET", path, "ssh_keys.list", self.list_all)
        routing.add("POST", path, "ssh_keys.create", self.create)
        routing.add("GET", f"{path}/{{id}}", "ssh_keys.get", self.get)
        routing.add("PATCH", f"{path}/{{id}}", "ssh_keys.update", self.update)
        routing.add("DELETE", f"{path}/{{id}}", "ssh_keys.delete", self.delete)

    async def list_all(self, call: Call) -> Response:
        found = self._world.store.list(SSH_KEY)
        if call.query("project_id"):
            found = [each for each in found if each["project"] == call.query("project_id")]
        if call.query("name"):
            found = [each for each in found if each["name"] == call.query("name")]
        if call.query("disabled"):
            found = [each for each in found if each["disabled"] == (call.query("disabled") == "true")]
        return counted_page(call, "ssh_keys", [self._render(each) for each in found])

    async def create(self, call: Call) -> Response:
        """Answers 200, not 201."""
        body = await call.body(CreateSshKey)
        own_project(self._world, body.project_id)
        document = {
            "id": new_id(),
            "name": body.name,
            "public_key": body.public_key.strip(),
            "fingerprint": fingerprint(body.public_key),
            "created_at": now(),
            "disabled": False,
            "project": self._world.settings.project_id,
        }
        return JSONResponse(self._render(self._world.save(SSH_KEY, document)))

    async def get(self, call: Call) -> Response:
        return JSONResponse(self._render(self._world.find(SSH_KEY, None, call.path("id"))))

    async def update(self, call: Call) -> Response:
        document = self._world.find(SSH_KEY, None, call.path("id"))
        document.update((await call.body(UpdateSshKey)).model_dump(exclude_none=True))
        return JSONResponse(self._render(self._world.save(SSH_KEY, document)))

    async def delete(self, call: Call) -> Response:
        document = self._world.find(SSH_KEY, None, call.path("id"))
        self._world.store.delete(SSH_KEY, document["id"])
        return Response(status_code=204)

    def _render(self, document: Document) -> dict[str, Any]:
        return {
            "id": document["id"],
            "name": document["name"],
            "public_key": document["public_key"],
            "fingerprint": document["fingerprint"],
            "created_at": document["created_at"],
            "updated_at": document["modification_date"],
            "organization_id": self._world.settings.organization_id,
            "project_id": document["project"],
            "disabled": document["disabled"],
        }


def fingerprint(public_key: str) -> str:
    """`<bits> SHA256:<digest>` as ssh-keygen prints it, without the bits. Raises invalid_arguments for a bad key."""
    words = public_key.split()
    if len(words) < 2 or words[0] not in KEY_TYPES:
        raise invalid("public_key", "format", "not an SSH public key")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("public_key", "format", "not an SSH public key") from None
    if not blob[4:].startswith(words[0].encode()):
        raise invalid("public_key", "format", "the key is not of the type it says")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return f"SHA256:{digest} {' '.join(words[2:])} ({words[0].removeprefix('ssh-')})"
