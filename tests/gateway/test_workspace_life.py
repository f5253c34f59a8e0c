"""Workspaces and keys through the gateway, with auth, its database and the broker: what changes counts at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.app import Gateway
from shared.ids import new_id
from tests.auth.stage import Person, Stage
from tests.auth.test_secret_scanning import PATH as REPORT
from tests.auth.test_secret_scanning import Scanner, report
from tests.fixtures.bus import Rabbit
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.gateway.edge import eventually
from tests.gateway.test_stream import world


@dataclass
class Edge:
    auth: Stage
    gateway: Gateway
    client: httpx.AsyncClient
    scanner: Scanner

    async def ask(
        self, who: Person | str, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """As a person, or with an API key."""
        credential = who if isinstance(who, str) else who.access_token
        sent = {"Authorization": f"Bearer {credential}", "Idempotency-Key": new_id("evt"), **headers}
        return await self.client.request(method, path, json=body, headers=sent)

    async def company(self) -> tuple[Person, Person, str]:
        """An owner and an admin whom the gateway knows, and the path of their workspace."""
        owner, admin = await self.auth.person(), await self.auth.person()
        workspace_id = await self.auth.workspace(owner)
        await self.auth.join(owner, workspace_id, admin, "admin")
        await eventually(lambda: self.gateway.authority.role(admin.id, workspace_id) == "admin")
        return owner, admin, f"/v1/workspaces/{workspace_id}"

    async def key(self, who: Person, base: str, *scopes: str, **fields: Any) -> dict[str, Any]:
        body = {"name": "k", "scopes": list(scopes), **fields}
        answer = await self.ask(who, "POST", f"{base}/api-keys", body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


@pytest.fixture
async def edge(
    service_database: ServiceDatabases, trust: Trust, rabbit: Rabbit, tmp_path: Path
) -> AsyncIterator[Edge]:
    scanner = Scanner(ec.generate_private_key(ec.SECP256R1()))
    file = tmp_path / "scanners.json"
    file.write_text(json.dumps(scanner.published()))
    async with world(service_database, trust, rabbit, tmp_path, secret_scanning_keys_file=file) as (
        auth,
        gateway,
        _,
    ):
        transport = httpx.ASGITransport(app=gateway)
        async with httpx.AsyncClient(transport=transport, base_url="https://sendchief.test") as client:
            yield Edge(auth, gateway, client, scanner)


async def test_a_name_changes_for_who_has_seen_the_last_one(edge: Edge) -> None:
    owner, _, base = await edge.company()
    seen = await edge.ask(owner, "GET", base)
    first = await edge.ask(owner, "PATCH", base, {"name": "New"}, **{"If-Match": seen.headers["etag"]})
    late = await edge.ask(owner, "PATCH", base, {"name": "Late"}, **{"If-Match": seen.headers["etag"]})
    blind = await edge.ask(owner, "PATCH", base, {"name": "Blind"})
    assert [answer.status_code for answer in (first, late, blind)] == [200, 412, 428]
    assert (await edge.ask(owner, "GET", base)).json()["name"] == "New"


async def test_a_demoted_admin_and_his_key_can_do_less_at_once(edge: Edge) -> None:
    owner, admin, base = await edge.company()
    key = (await edge.key(admin, base, "audit:read", "members:read"))["key"]
    assert (await edge.ask(key, "GET", f"{base}/audit")).status_code == 200
    member = await edge.auth.member_id(base.rpartition("/")[2], admin)
    answer = await edge.ask(
        owner, "PATCH", f"{base}/members/{member}", {"role": "member"}, **{"If-Match": "*"}
    )
    assert answer.status_code == 200, answer.text
    await eventually(lambda: edge.gateway.authority.role(admin.id, base.rpartition("/")[2]) == "member")
    assert (await edge.ask(admin, "GET", f"{base}/audit")).status_code == 403
    assert (await edge.ask(key, "GET", f"{base}/audit")).status_code == 403
    assert (await edge.ask(key, "GET", f"{base}/members")).status_code == 200


async def test_who_leaves_is_out_and_his_key_does_not_come_back_with_him(edge: Edge) -> None:
    owner, admin, base = await edge.company()
    workspace_id = base.rpartition("/")[2]
    made = await edge.key(admin, base, "members:read")
    assert (await edge.ask(made["key"], "GET", f"{base}/members")).status_code == 200
    assert (await edge.ask(admin, "POST", f"{base}/leave")).status_code == 204
    await eventually(lambda: edge.gateway.authority.role(admin.id, workspace_id) is None)
    assert (await edge.ask(made["key"], "GET", f"{base}/members")).status_code == 401
    assert (await edge.ask(admin, "GET", base)).status_code == 404
    await edge.auth.join(owner, workspace_id, admin, "admin")
    await eventually(lambda: edge.gateway.authority.role(admin.id, workspace_id) == "admin")
    assert (await edge.ask(made["key"], "GET", f"{base}/members")).status_code == 401


async def test_a_workspace_changes_hands_and_the_former_owner_is_stopped_at_the_gateway(edge: Edge) -> None:
    owner, admin, base = await edge.company()
    workspace_id = base.rpartition("/")[2]
    body = {"member_id": await edge.auth.member_id(workspace_id, admin)}
    assert (await edge.ask(admin, "POST", f"{base}/transfer", body)).status_code == 403
    assert (await edge.ask(owner, "POST", f"{base}/transfer", body)).status_code == 200
    await eventually(lambda: edge.gateway.authority.role(owner.id, workspace_id) == "admin")
    assert (await edge.ask(owner, "POST", f"{base}/transfer", body)).status_code == 403
    assert edge.gateway.authority.role(admin.id, workspace_id) == "owner"


async def test_a_key_is_held_to_its_networks(edge: Edge) -> None:
    owner, _, base = await edge.company()
    made = await edge.key(owner, base, "members:read", allowed_networks=["192.0.2.0/24"])
    inside = await edge.ask(made["key"], "GET", f"{base}/members", **{"X-Forwarded-For": "192.0.2.77"})
    outside = await edge.ask(made["key"], "GET", f"{base}/members", **{"X-Forwarded-For": "198.51.100.7"})
    assert (inside.status_code, outside.status_code) == (200, 403)
    assert outside.json()["code"] == "address_not_allowed"


async def test_old_and_new_key_work_side_by_side_after_a_rotation(edge: Edge) -> None:
    owner, _, base = await edge.company()
    old = await edge.key(owner, base, "members:read")
    answer = await edge.ask(owner, "POST", f"{base}/api-keys/{old['id']}/rotate", {})
    assert answer.status_code == 201, answer.text
    for key in (old["key"], answer.json()["key"]):
        assert (await edge.ask(key, "GET", f"{base}/members")).status_code == 200


async def test_a_key_that_a_scanner_reports_is_refused_at_the_gateway(edge: Edge) -> None:
    owner, _, base = await edge.company()
    made = await edge.key(owner, base, "members:read")
    assert (await edge.ask(made["key"], "GET", f"{base}/members")).status_code == 200
    body = report(made["key"])
    answer = await edge.client.post(REPORT, content=body, headers=edge.scanner.headers(body))
    assert (answer.status_code, answer.json()[0]["label"]) == (200, "true_positive")
    await eventually(lambda: edge.gateway.authority.ended(made["id"]))
    assert (await edge.ask(made["key"], "GET", f"{base}/members")).status_code == 401


async def test_a_report_without_the_scanners_signature_is_refused(edge: Edge) -> None:
    body = report("sc_live_x")
    answer = await edge.client.post(REPORT, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")


async def test_an_invitation_is_sent_again_through_the_gateway(edge: Edge) -> None:
    owner, _, base = await edge.company()
    made = await edge.ask(owner, "POST", f"{base}/invitations", {"email": "again@people.test"})
    again = await edge.ask(owner, "POST", f"{base}/invitations/{made.json()['id']}/resend")
    assert (again.status_code, again.json()["code"]) == (429, "too_many_requests")
    assert int(again.headers["retry-after"]) == 60
