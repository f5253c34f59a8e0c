"""A signed-in owner who calls the API, and what he has done before a test begins."""

from __future__ import annotations

from typing import Any

import httpx

from shared.ids import new_id
from tests.dns.samples import domain, server
from tests.dns.stage import Stage
from tests.fixtures.identity import Trust

PERMISSIONS = ("zones.read", "zones.write", "servers.read")


class Caller:
    """A signed-in owner of one workspace."""

    def __init__(self, client: httpx.AsyncClient, trust: Trust, workspace_id: str) -> None:
        self._client, self._trust, self.workspace_id = client, trust, workspace_id
        self._account = new_id("usr")

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        permissions: tuple[str, ...] = PERMISSIONS,
        key: str = "",
    ) -> httpx.Response:
        headers = self._trust.user(
            "dns", workspace_id=self.workspace_id, permissions=permissions, account_id=self._account
        )
        headers["Idempotency-Key"] = key or new_id("req")
        url = f"/v1/workspaces/{self.workspace_id}{path}"
        return await self._client.request(method, url, json=body, headers=headers)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.call("POST", path, body, **options)


def by_token(stage: Stage, owner: Caller, name: str = "company.com") -> dict[str, str]:
    """The body that registers a zone whose token the vault holds."""
    token_id = new_id("ptk")
    stage.world.tokens[owner.workspace_id, token_id] = "zone-token"
    return {"name": name, "method": "token", "provider_token_id": token_id}


async def proven(stage: Stage, owner: Caller) -> str:
    stage.world.zone("company.com", "zone-token")
    created = await owner.post("/zones", by_token(stage, owner))
    assert created.status_code == 201
    await stage.want(server(workspace_id=owner.workspace_id, domains=(domain("company.com"),)))
    await stage.work(2)
    return str(created.json()["id"])
