"""Tokens open what they were made for and nothing else; limits and faults look like Cloudflare's."""

from __future__ import annotations

import pytest

from sandbox.cloudflare.customers import NewZone
from sandbox.cloudflare.rate import RateLimit
from sandbox.faults import Fault
from tests.sandbox.cloudflare.conftest import Cloud

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_zone_token_sees_its_own_zone_only(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="own.test"))
    async with cloud.client(made["token"]) as client:
        zones = (await client.get("/zones")).json()
        assert [zone["name"] for zone in zones["result"]] == ["own.test"]
        assert zones["result_info"]["total_count"] == 1
        foreign = await client.get(f"/zones/{cloud.platform_zone_id}/dns_records")
        unknown = await client.get(f"/zones/{'0' * 32}/dns_records")
        assert foreign.status_code == unknown.status_code == 403
        assert foreign.content == unknown.content
        assert foreign.json()["errors"][0]["code"] == 10000
        assert (await client.post("/zones", json={"name": "more.test"})).status_code == 403


async def test_the_platforms_token_does_not_reach_customers(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="theirs.test"))
    async with cloud.client() as client:
        assert (await client.get(f"/zones/{made['zone_id']}")).status_code == 403
        assert [z["name"] for z in (await client.get("/zones")).json()["result"]] == ["platform.test"]


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [(None, 400, 6003), ("Basic abc", 400, 6003), ("Bearer " + "x" * 40, 403, 9109)],
)
async def test_a_missing_or_wrong_token_is_refused(
    cloud: Cloud, header: str | None, status: int, code: int
) -> None:
    async with cloud.client() as client:
        del client.headers["Authorization"]
        answer = await client.get("/zones", headers={"Authorization": header} if header else {})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)


async def test_verify_tells_a_tokens_state(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="verify.test"))
    async with cloud.client(made["token"]) as client:
        answer = (await client.get("/user/tokens/verify")).json()
        assert (answer["result"]["id"], answer["result"]["status"]) == (made["token_id"], "active")
        cloud.books.set_token_status(made["token_id"], "disabled")
        assert (await client.get("/user/tokens/verify")).json()["result"]["status"] == "disabled"
        assert (await client.get("/zones")).status_code == 403
    async with cloud.client("y" * 40) as client:
        answer = await client.get("/user/tokens/verify")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (401, 1000)


async def test_a_malformed_zone_id_finds_no_route(cloud: Cloud) -> None:
    async with cloud.client() as client:
        answer = await client.get("/zones/not-an-id/dns_records")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, 7003)
        assert (await client.get("/nothing/here")).json()["errors"][0]["code"] == 7003


async def test_a_zone_is_made_pending_activated_and_removed(cloud: Cloud) -> None:
    async with cloud.client() as client:
        zone = (await client.post("/zones", json={"name": "Made.test", "type": "full"})).json()["result"]
        assert (zone["status"], zone["name"]) == ("pending", "made.test")
        again = await client.post("/zones", json={"name": "made.test"})
        assert (again.status_code, again.json()["errors"][0]["code"]) == (400, 1061)
        assert (await client.post("/zones", json={"name": "made.example"})).json()["errors"][0][
            "code"
        ] == 1049
        await client.put(f"/zones/{zone['id']}/activation_check")
        assert (await client.get(f"/zones/{zone['id']}")).json()["result"]["status"] == "active"
        assert (await client.delete(f"/zones/{zone['id']}")).json()["result"] == {"id": zone["id"]}
        assert (await client.get(f"/zones/{zone['id']}")).status_code == 403


async def test_dnssec_is_switched_on_and_read(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="dnssec.test", secure=False))
    path = f"/zones/{made['zone_id']}/dnssec"
    async with cloud.client(made["token"]) as client:
        before = (await client.get(path)).json()["result"]
        assert (before["status"], before["algorithm"], before["flags"]) == ("disabled", "13", 257)
        assert (await client.patch(path, json={"status": "active"})).json()["result"]["status"] == "pending"
        after = (await client.get(path)).json()["result"]
        assert after["status"] == "active"
        assert await cloud.publisher.tree.ds("dnssec.test") == [
            " ".join([str(after["key_tag"]), "13", "2", after["digest"].lower()])
        ]


async def test_faults_take_cloudflares_shapes(cloud: Cloud) -> None:
    path = f"/zones/{cloud.platform_zone_id}/dns_records"
    body = {"type": "A", "name": "lost", "content": "198.51.100.1"}
    async with cloud.client() as client:
        cloud.faults.arm("cloudflare", "dns_records.list", Fault("rate_limit", seconds=7))
        limited = await client.get(path)
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
        cloud.faults.arm("cloudflare", "dns_records.create", Fault("error_after_commit", status=504))
        assert (await client.post(path, json=body)).status_code == 504
        assert (await client.post(path, json=body)).json()["errors"][0]["code"] == 81058
        cloud.faults.arm("cloudflare", "dns_records.list", Fault("empty_list"))
        assert (await client.get(path)).json()["result"] == []
        healthy = await client.get(path)
        assert [r["name"] for r in healthy.json()["result"]] == ["lost.platform.test"]
        assert healthy.headers["ratelimit-policy"] == '"default";q=1200;w=300'


async def test_exceeding_the_rate_blocks_for_five_minutes() -> None:
    now = [0.0]
    limit = RateLimit(lambda: now[0], quota=3)
    assert [limit.admit("t") for _ in range(3)] == [None, None, None]
    assert limit.admit("t") == 300
    now[0] = 299.0
    assert limit.admit("t") == 1
    assert limit.admit("other") is None
    now[0] = 301.0
    assert limit.admit("t") is None
