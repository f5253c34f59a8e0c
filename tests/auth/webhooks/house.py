"""A workspace, receivers, and a worker that sends to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.auth.webhooks.delivery import Deliveries
from shared.contracts import provisioner_events
from tests.auth.stage import Person, Stage
from tests.auth.webhooks.process import Names
from tests.auth.webhooks.receiver import HOST, Receiver


@dataclass
class House:
    """A workspace, receivers, and a worker that sends to them."""

    auth: Stage
    owner: Person
    workspace_id: str
    receivers: list[Receiver]
    ca_file: Path
    worker: Deliveries
    names: Names = field(default_factory=Names)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {**self.auth.as_user(self.owner.id, self.workspace_id), "If-Match": "*"}
        path = f"/v1/workspaces/{self.workspace_id}/{path}"
        answer = await self.auth.client.request(method, path, json=body, headers=headers)
        return answer.status_code, answer.json() if answer.content else None

    async def webhook(self, receiver: Receiver, *events: str, host: str = HOST) -> dict[str, Any]:
        body = {"url": receiver.url(host), "events": list(events) or ["server.recovered"]}
        status, made = await self.ask("POST", "webhooks", body)
        assert status == 201, made
        return dict(made)

    async def happens(self, count: int = 1) -> list[str]:
        """Ids of the events."""
        return [(await self.auth.bus.deliver(recovered(self.workspace_id))).id for _ in range(count)]

    async def of(self, webhook: dict[str, Any]) -> list[dict[str, Any]]:
        return list((await self.ask("GET", f"webhooks/{webhook['id']}/deliveries"))[1]["items"])

    async def now(self, webhook: dict[str, Any]) -> dict[str, Any]:
        return dict((await self.ask("GET", f"webhooks/{webhook['id']}"))[1])

    def pass_by(self, step: timedelta) -> None:
        self.auth.clock.advance(step)


def recovered(workspace_id: str) -> provisioner_events.ServerRecovered:
    return provisioner_events.ServerRecovered(
        workspace_id=workspace_id, server_id="srv_1", hostname="s1.test"
    )
