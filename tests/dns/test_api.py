"""The API shows and takes what it should, and can do no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.db.database import Database
from shared.ids import new_id
from tests.dns.conftest import Stage
from tests.dns.samples import domain, server
from tests.fixtures.database import ServiceDatabase
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


@pytest.fixture
async def client(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=api)
    async with httpx.AsyncClient(transport=transport, base_url="http://dns") as made:
        yield made
    await api.state.database.dispose()


@pytest.fixture
def owner(client: httpx.AsyncClient, trust: Trust) -> Caller:
    return Caller(client, trust, new_id("ws"))


@pytest.fixture
def stranger(client: httpx.AsyncClient, trust: Trust) -> Caller:
    return Caller(client, trust, new_id("ws"))


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


async def test_a_zone_is_registered_proven_planned_and_applied(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    zone = (await owner.get(f"/zones/{zone_id}")).json()
    assert (zone["state"], zone["dnssec"], zone["challenge"]) == ("proven", True, None)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    assert (plan["state"], plan["by_hand"], len(plan["creates"])) == ("ready", False, 14)
    record = next(item for item in plan["creates"] if item["type"] == "MX")
    assert record["value"].startswith("10 s")
    assert record["explanation"] == "Mail for the domain is delivered to its mail server."
    applied = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": plan["id"]})
    assert (applied.status_code, applied.json()) == (202, {"plan_id": plan["id"], "state": "approved"})
    await stage.work(2)
    after = (await owner.get(f"/zones/{zone_id}/plan")).json()
    assert (after["creates"], len(after["unchanged"])) == ([], 14)
    assert after["last_applied"]["plan_id"] == plan["id"]
    assert after["last_applied"]["state"] == "applied"
    records = (await owner.get(f"/zones/{zone_id}/records?limit=100")).json()
    assert {item["state"] for item in records["items"]} == {"verified"}
    assert len(records["items"]) == 14


async def test_two_applies_of_one_plan_take_effect_once(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    body = {"plan_id": plan["id"]}
    answers = await asyncio.gather(*(owner.post(f"/zones/{zone_id}/plan/apply", body) for _ in range(5)))
    assert {item.status_code for item in answers} == {202}
    await stage.work(2)
    assert [len(batch.posts) for batch in stage.world.batches] == [7, 14]
    again = await owner.post(f"/zones/{zone_id}/plan/apply", body)
    assert (again.status_code, again.json()["state"]) == (202, "applied")
    await stage.work(2)
    assert len(stage.world.batches) == 2
    approvals = [
        item for item in await stage.bus.envelopes() if item.data.get("action") == "dns.plan.approved"
    ]
    assert len(approvals) == 1


async def test_an_unknown_plan_is_not_found_and_a_superseded_one_is_stale(
    stage: Stage, owner: Caller
) -> None:
    zone_id = await proven(stage, owner)
    unknown = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": new_id("pln")})
    assert unknown.status_code == 404
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    hosted = stage.world.zones["zone-company.com"]
    stage.world.add(hosted, "company.com", "MX", "1 mx.old.net")
    stage.clock.advance(timedelta(seconds=30))
    await owner.get(f"/zones/{zone_id}/plan")
    await stage.work(1)
    stale = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": plan["id"]})
    assert (stale.status_code, stale.json()["code"]) == (409, "plan_stale")


async def test_an_expired_plan_is_refused(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    stage.clock.advance(timedelta(hours=1))
    refused = await owner.post(f"/zones/{zone_id}/plan/apply", {"plan_id": plan["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "plan_expired")
    assert (await owner.get(f"/zones/{zone_id}/plan")).json()["state"] == "computing"
    await stage.work(1)
    assert (await owner.get(f"/zones/{zone_id}/plan")).json()["state"] == "ready"


async def test_only_conflicts_of_the_plan_can_be_accepted(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    body = {"plan_id": plan["id"], "accept": ["spf_merge:company.com"]}
    refused = await owner.post(f"/zones/{zone_id}/plan/apply", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "conflict_not_acceptable")


async def test_a_txt_zone_shows_its_challenge_and_cannot_be_applied(stage: Stage, owner: Caller) -> None:
    hosted = stage.world.zone("company.com", "unknown-to-us")
    zone = (await owner.post("/zones", {"name": "Company.com.", "method": "txt"})).json()
    assert zone["name"] == "company.com"
    assert zone["challenge"]["name"] == "_sendchief-challenge.company.com"
    early = await owner.get(f"/zones/{zone['id']}/plan")
    assert (early.status_code, early.json()["code"]) == (409, "zone_not_proven")
    stage.world.add(hosted, zone["challenge"]["name"], "TXT", zone["challenge"]["value"])
    assert (await owner.post(f"/zones/{zone['id']}/proof")).status_code == 202
    await stage.work(2)
    plan = (await owner.get(f"/zones/{zone['id']}/plan")).json()
    assert plan["by_hand"] is True
    refused = await owner.post(f"/zones/{zone['id']}/plan/apply", {"plan_id": plan["id"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "zone_by_hand")


@pytest.mark.parametrize(
    "name",
    [
        "company.test",
        "localhost",
        "mail-platform.net",
        "mx.mail-platform.net",
        "a b.com",
        "1.2.3.4",
        "x.example.com",
    ],
)
async def test_names_that_nobody_may_claim_are_refused(owner: Caller, name: str) -> None:
    refused = await owner.post("/zones", {"name": name, "method": "txt"})
    assert (refused.status_code, refused.json()["code"]) == (422, "zone_not_usable")
    assert refused.json()["errors"][0]["field"] == "name"
    assert (await owner.get("/zones")).json()["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "company.com", "method": "token"},
        {"name": "company.com", "method": "txt", "provider_token_id": new_id("ptk")},
        {"name": "company.com", "method": "file"},
        {"name": "company.com", "method": "txt", "state": "proven"},
        {"method": "txt"},
    ],
)
async def test_a_body_that_makes_no_sense_is_refused(owner: Caller, body: dict[str, str]) -> None:
    assert (await owner.post("/zones", body)).status_code == 422


async def test_a_zone_is_registered_once_per_workspace(owner: Caller) -> None:
    body = {"name": "company.com", "method": "txt"}
    first = await owner.post("/zones", body, key="k1")
    replay = await owner.post("/zones", body, key="k1")
    assert replay.json() == first.json()
    second = await owner.post("/zones", body)
    assert (second.status_code, second.json()["code"]) == (409, "zone_exists")


async def test_registering_does_not_tell_that_another_workspace_has_the_name(
    stage: Stage, owner: Caller, stranger: Caller
) -> None:
    await proven(stage, owner)
    answer = await stranger.post("/zones", {"name": "company.com", "method": "txt"})
    assert answer.status_code == 201
    await stage.work(2)
    zone = (await stranger.get(f"/zones/{answer.json()['id']}")).json()
    assert zone["state"] == "proving"
    assert "workspace" not in zone["detail"]


async def test_foreign_and_unknown_ids_look_the_same(stage: Stage, owner: Caller, stranger: Caller) -> None:
    zone_id = await proven(stage, owner)
    server_id = (await stage.bus.envelopes())[-1].data.get("server_id") or new_id("srv")
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    for method, path, body in (
        ("GET", "/zones/{}", None),
        ("GET", "/zones/{}/plan", None),
        ("GET", "/zones/{}/records", None),
        ("POST", "/zones/{}/proof", None),
        ("POST", "/zones/{}/plan/apply", {"plan_id": plan["id"]}),
    ):
        foreign = await stranger.call(method, path.format(zone_id), body)
        unknown = await stranger.call(method, path.format(new_id("zon")), body)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.content == unknown.content
    foreign = await stranger.get(f"/servers/{server_id}/names")
    assert (foreign.status_code, foreign.content) == (
        404,
        (await stranger.get(f"/servers/{new_id('srv')}/names")).content,
    )


async def test_each_route_needs_its_permission(owner: Caller) -> None:
    zone, body = new_id("zon"), {"name": "company.com", "method": "txt"}
    for method, path, sent, needed in (
        ("POST", "/zones", body, "zones.write"),
        ("GET", "/zones", None, "zones.read"),
        ("GET", f"/zones/{zone}", None, "zones.read"),
        ("POST", f"/zones/{zone}/proof", None, "zones.write"),
        ("GET", f"/zones/{zone}/plan", None, "zones.read"),
        ("POST", f"/zones/{zone}/plan/apply", {"plan_id": new_id("pln")}, "zones.write"),
        ("GET", f"/zones/{zone}/records", None, "zones.read"),
        ("GET", f"/servers/{new_id('srv')}/names", None, "servers.read"),
    ):
        others = tuple(item for item in PERMISSIONS if item != needed)
        refused = await owner.call(method, path, sent, permissions=others)
        assert (refused.status_code, refused.json().get("permission")) == (403, needed), path


async def test_a_servers_names_are_shown_with_what_was_seen(stage: Stage, owner: Caller) -> None:
    wanted = server(workspace_id=owner.workspace_id)
    await stage.want(wanted)
    await stage.work(2)
    names = (await owner.get(f"/servers/{wanted.server_id}/names")).json()
    assert (names["hostname"], names["state"], names["forward"], names["reverse"]) == (
        wanted.hostname, "pending", True, False,
    )  # fmt: skip
    tlsa = next(item for item in names["records"] if item["type"] == "TLSA")
    assert tlsa["expected"] == tlsa["observed"]


async def test_records_come_in_pages(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    await stage.work(1)
    found: list[tuple[str, str]] = []
    cursor = ""
    while True:
        page = (await owner.get(f"/zones/{zone_id}/records?limit=5{cursor}")).json()
        found += [(item["name"], item["type"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(found) == len(set(found)) == 14
    assert (await owner.get(f"/zones/{zone_id}/records?cursor=WyJhIl0")).status_code == 422


# -- what the API's database role can and cannot do -----------------------------------------------------------------


async def test_every_table_with_a_workspace_is_forced_behind_row_security(
    dns_database: ServiceDatabase,
) -> None:
    rows = dns_database.postgres.psql(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity from pg_class c join pg_attribute a "
        "on a.attrelid = c.oid and a.attname = 'workspace_id' where c.relkind = 'r' "
        "and c.relnamespace = 'public'::regnamespace",
        dns_database.name,
    )
    tables = dict(line.split("|") for line in rows.split())
    assert {
        "zone",
        "zone_proof",
        "nameset",
        "record_state",
        "owned_record",
        "write_intent",
        "record_plan",
    } <= set(tables)
    assert set(tables.values()) == {"t"}


async def test_the_api_sees_only_the_rows_of_its_workspace(
    stage: Stage, owner: Caller, dns_database: ServiceDatabase
) -> None:
    await proven(stage, owner)
    database = Database(dns_database.app_url)
    for table in ("zone", "zone_proof", "nameset", "record_state", "owned_record", "record_plan"):
        query = text(f"select count(*) from {table}")  # noqa: S608 (fixed names)
        async with database.transaction(workspace_id=owner.workspace_id) as session:
            assert await session.scalar(query) > 0, table
        for other in (None, new_id("ws")):
            async with database.transaction(workspace_id=other) as session:
                assert await session.scalar(query) == 0, table
    await database.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "update zone set state = 'proven'",
        "update zone set provider_token_id = 'ptk_other'",
        "insert into zone (id, workspace_id, name, method, challenge, state, name_servers, created_at, due_at) "
        "values ('zon_x', current_setting('app.workspace_id'), 'victim.com', 'txt', 'c', 'proven', '[]', now(), now())",
        "update record_plan set content = '{}'",
        "update record_plan set state = 'applied'",
        "insert into owned_record select * from owned_record",
        "delete from owned_record",
        "delete from zone",
        "update nameset set forward = true",
        "select * from write_intent",
    ],
)
async def test_the_api_cannot_prove_own_or_apply(
    stage: Stage, owner: Caller, dns_database: ServiceDatabase, statement: str
) -> None:
    await proven(stage, owner)
    database = Database(dns_database.app_url)
    with pytest.raises(DBAPIError, match=r"permission denied|row-level security"):
        async with database.transaction(workspace_id=owner.workspace_id) as session:
            await session.execute(text(statement))
    await database.dispose()
