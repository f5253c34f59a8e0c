"""Records are validated, read back as Cloudflare shows them, and served, signed, at once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.cloudflare.customers import NewZone
from sandbox.infrastructure import Infrastructure
from tests.sandbox.cloudflare.conftest import Cloud
from tests.sandbox.dns.test_tree import ask, secure, values

pytestmark = pytest.mark.asyncio(loop_scope="module")
DIGEST = "ab" * 32


async def make_zone(cloud: Cloud, name: str, *records: dict[str, Any]) -> tuple[httpx.AsyncClient, str]:
    """A client with the token of a fresh customer's zone, and the zone's path."""
    made = await cloud.customers.create(NewZone(name=name, records=list(records)))
    return cloud.client(made["token"]), f"/zones/{made['zone_id']}/dns_records"


CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"type": "A", "content": "198.51.100.9"}, {"content": "198.51.100.9"}, "198.51.100.9"),
    (
        {"type": "AAAA", "content": "2001:DB8:5c:0::0009"},
        {"content": "2001:db8:5c::9"},
        "2001:db8:5c::9",
    ),
    (
        {"type": "MX", "content": "MX.Host.test.", "priority": 10},
        {"content": "mx.host.test"},
        "10 mx.host.test.",
    ),
    ({"type": "TXT", "content": "v=spf1 -all"}, {"content": "v=spf1 -all"}, '"v=spf1 -all"'),
    ({"type": "TXT", "content": '"a" "b;c"'}, {"content": '"a" "b;c"'}, '"a" "b;c"'),
    (
        {"type": "TLSA", "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": DIGEST}},
        {"content": f"3 1 1 {DIGEST.upper()}"},
        f"3 1 1 {DIGEST}",
    ),
    (
        {"type": "CAA", "data": {"flags": 0, "tag": "issue", "value": "ca.test; validationmethods=http-01"}},
        {"content": '0 issue "ca.test; validationmethods=http-01"'},
        '0 issue "ca.test; validationmethods=http-01"',
    ),
    ({"type": "CNAME", "content": "Host.Test."}, {"content": "host.test"}, "host.test."),
]


@pytest.mark.parametrize(
    ("body", "shown", "served"), CASES, ids=[f"{c[0]['type']}{n}" for n, c in enumerate(CASES)]
)
async def test_a_record_reads_back_and_is_served(
    cloud: Cloud,
    world: Infrastructure,
    body: dict[str, Any],
    shown: dict[str, Any],
    served: str,
    request: Any,
) -> None:
    zone = f"read-{request.node.callspec.id.lower()}.test"
    client, path = await make_zone(cloud, zone)
    async with client:
        answer = (await client.post(path, json={"name": f"X.{zone}", "ttl": 60, **body})).json()
        assert answer["success"], answer
        record = answer["result"]
        assert record["name"] == f"x.{zone}"
        assert {key: record[key] for key in shown} == shown
        assert (await client.get(f"{path}/{record['id']}")).json()["result"] == record
    found = await ask(world, f"x.{zone}", body["type"])
    assert secure(found)
    assert values(found, body["type"]) == {served}


async def test_srv_keeps_its_priority_apart_and_is_served(cloud: Cloud, world: Infrastructure) -> None:
    client, path = await make_zone(cloud, "srv.test")
    async with client:
        data = {"priority": 0, "weight": 1, "port": 465, "target": "mx.host.test"}
        body = {"type": "SRV", "name": "_submissions._tcp", "data": data}
        record = (await client.post(path, json=body)).json()["result"]
    assert (record["priority"], record["content"]) == (0, "1 465 mx.host.test")
    assert values(await ask(world, "_submissions._tcp.srv.test", "SRV"), "SRV") == {"0 1 465 mx.host.test."}


async def test_a_long_text_is_split_when_served_and_reads_back_as_written(
    cloud: Cloud, world: Infrastructure
) -> None:
    client, path = await make_zone(cloud, "long.test")
    text = "v=DKIM1; k=rsa; p=" + "A" * 400
    async with client:
        record = (await client.post(path, json={"type": "TXT", "name": "@", "content": text})).json()[
            "result"
        ]
    assert record["content"] == text
    assert values(await ask(world, "long.test", "TXT"), "TXT") == {f'"{text[:255]}" "{text[255:]}"'}


REFUSED: list[tuple[dict[str, Any], int, int]] = [
    ({"type": "A", "name": "x", "content": "::1"}, 1004, 9005),
    ({"type": "AAAA", "name": "x", "content": "198.51.100.1"}, 1004, 9006),
    ({"type": "CNAME", "name": "@", "content": "x.test"}, 1004, 9013),
    ({"type": "MX", "name": "x", "content": "mx.test"}, 1004, 9102),
    ({"type": "NOPE", "name": "x", "content": "1"}, 1004, 9002),
    ({"type": "A", "name": "bad..name", "content": "198.51.100.1"}, 1004, 9000),
    ({"type": "A", "name": "x", "content": "198.51.100.1", "ttl": 30}, 1004, 9021),
    ({"type": "A", "name": "x", "content": "198.51.100.1", "comment": "x" * 101}, 1004, 9300),
    ({"type": "A", "name": "x", "content": "198.51.100.1", "tags": ["a:b"]}, 1004, 9301),
    ({"type": "A", "name": "x", "content": "198.51.100.1", "owner": "me"}, 1004, 9207),
    ({"type": "TXT", "name": "x", "content": '"open'}, 1004, 9209),
    ({"type": "TXT", "name": "x", "content": "t", "proxied": True}, 1004, 9004),
]


@pytest.mark.parametrize(("body", "code", "reason"), REFUSED)
async def test_a_wrong_record_is_refused_with_its_code(
    cloud: Cloud, body: dict[str, Any], code: int, reason: int
) -> None:
    async with cloud.client() as client:
        answer = await client.post(f"/zones/{cloud.platform_zone_id}/dns_records", json=body)
    error = answer.json()["errors"][0]
    assert (answer.status_code, error["code"], error["error_chain"][0]["code"]) == (400, code, reason)
    assert answer.json()["success"] is False


async def test_tlsa_without_data_names_each_missing_field(cloud: Cloud) -> None:
    async with cloud.client() as client:
        body = {"type": "TLSA", "name": "_25._tcp.mx", "content": f"3 1 1 {DIGEST}"}
        answer = await client.post(f"/zones/{cloud.platform_zone_id}/dns_records", json=body)
    assert answer.status_code == 400
    assert [(e["code"], e["message"]) for e in answer.json()["errors"]] == [
        (9101, f"{field} is a required data field.")
        for field in ("usage", "selector", "matching_type", "certificate")
    ]


async def test_conflicts_have_their_own_codes(cloud: Cloud) -> None:
    client, path = await make_zone(cloud, "conflict.test")
    a = {"type": "A", "name": "www", "content": "198.51.100.1"}
    tlsa = {
        "type": "TLSA",
        "name": "_25._tcp.mx",
        "data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": DIGEST},
    }
    async with client:
        for body in (a, tlsa):
            assert (await client.post(path, json=body)).json()["success"]

        async def code(body: dict[str, Any]) -> int:
            answer = await client.post(path, json=body)
            assert answer.status_code == 400
            return int(answer.json()["errors"][0]["code"])

        assert await code(a) == 81058
        assert await code(tlsa) == 81057
        assert await code({"type": "CNAME", "name": "www", "content": "x.test"}) == 81053
        assert (await client.post(path, json={"type": "CNAME", "name": "c", "content": "x.test"})).json()[
            "success"
        ]
        assert await code({"type": "A", "name": "c", "content": "198.51.100.1"}) == 81053
        assert await code({"type": "TXT", "name": "c", "content": "x"}) == 81054


async def test_put_resets_what_is_not_given_and_patch_keeps_it(cloud: Cloud) -> None:
    client, path = await make_zone(cloud, "edit.test")
    body = {"type": "A", "name": "a", "content": "198.51.100.1", "ttl": 600, "comment": "mine"}
    async with client:
        record = (await client.post(path, json=body)).json()["result"]
        patched = (await client.patch(f"{path}/{record['id']}", json={"content": "198.51.100.2"})).json()[
            "result"
        ]
        assert (patched["content"], patched["ttl"], patched["comment"]) == ("198.51.100.2", 600, "mine")
        replaced = {"type": "A", "name": "a", "content": "198.51.100.3"}
        put = (await client.put(f"{path}/{record['id']}", json=replaced)).json()["result"]
        assert (put["ttl"], put["comment"], put["id"]) == (1, None, record["id"])
        assert (await client.delete(f"{path}/{record['id']}")).json()["result"] == {"id": record["id"]}
        gone = await client.get(f"{path}/{record['id']}")
        assert (gone.status_code, gone.json()["errors"][0]["code"]) == (404, 81044)


async def test_a_batch_works_in_its_own_order(cloud: Cloud, world: Infrastructure) -> None:
    records = [{"type": "A", "name": n, "content": "198.51.100.1"} for n in ("gone", "moved", "put")]
    client, path = await make_zone(cloud, "batch.test", *records)
    async with client:
        ids = {r["name"].split(".")[0]: r["id"] for r in (await client.get(path)).json()["result"]}
        body = {
            # A name can be freed and taken again in one batch because deletes come first.
            "posts": [{"type": "CNAME", "name": "gone", "content": "moved.batch.test"}],
            "patches": [{"id": ids["moved"], "content": "198.51.100.2"}],
            "puts": [{"id": ids["put"], "type": "A", "name": "put", "content": "198.51.100.3"}],
            "deletes": [{"id": ids["gone"]}],
        }
        result = (await client.post(f"{path}/batch", json=body)).json()["result"]
    assert {key: len(group) for key, group in result.items()} == {
        "deletes": 1,
        "patches": 1,
        "puts": 1,
        "posts": 1,
    }
    assert values(await ask(world, "gone.batch.test", "CNAME"), "CNAME") == {"moved.batch.test."}
    assert values(await ask(world, "moved.batch.test", "A"), "A") == {"198.51.100.2"}
    assert values(await ask(world, "put.batch.test", "A"), "A") == {"198.51.100.3"}


async def test_one_bad_record_leaves_books_and_dns_untouched(cloud: Cloud, world: Infrastructure) -> None:
    client, path = await make_zone(
        cloud, "atomic.test", {"type": "A", "name": "old", "content": "198.51.100.1"}
    )
    async with client:
        before = (await client.get(path)).json()["result"]
        body = {
            "deletes": [{"id": before[0]["id"]}],
            "posts": [
                {"type": "A", "name": "new", "content": "198.51.100.2"},
                {"type": "A", "name": "bad", "content": "x"},
            ],
        }
        answer = await client.post(f"{path}/batch", json=body)
        assert answer.status_code == 400
        assert (await client.get(path)).json()["result"] == before
    assert values(await ask(world, "old.atomic.test", "A"), "A") == {"198.51.100.1"}
    assert values(await ask(world, "new.atomic.test", "A"), "A") == set()


async def test_a_batch_over_the_plans_limit_is_refused(cloud: Cloud) -> None:
    client, path = await make_zone(cloud, "many.test")
    posts = [{"type": "A", "name": f"h{n}", "content": "198.51.100.1"} for n in range(201)]
    async with client:
        assert (await client.post(f"{path}/batch", json={"posts": posts})).status_code == 400
        assert (await client.post(f"{path}/batch", json={"posts": posts[:200]})).status_code == 200
        listed = (await client.get(path, params={"per_page": 50, "page": 4})).json()
    assert listed["result_info"] == {
        "page": 4,
        "per_page": 50,
        "count": 50,
        "total_count": 200,
        "total_pages": 4,
    }


async def test_filters_narrow_the_listing(cloud: Cloud) -> None:
    client, path = await make_zone(
        cloud,
        "filter.test",
        {"type": "A", "name": "a", "content": "198.51.100.1", "comment": "sendchief:v1:x"},
        {"type": "A", "name": "b", "content": "198.51.100.2"},
        {"type": "TXT", "name": "a", "content": "hello"},
    )
    async with client:

        async def names(**filters: str) -> set[str]:
            found = (await client.get(path, params=filters)).json()["result"]
            return {f"{r['type']} {r['name'].split('.')[0]}" for r in found}

        assert await names(type="A") == {"A a", "A b"}
        assert await names(**{"name.exact": "a.filter.test"}) == {"A a", "TXT a"}
        assert await names(**{"comment.startswith": "sendchief:"}) == {"A a"}
        assert await names(type="TXT", **{"content.contains": "ell"}) == {"TXT a"}
        assert (await client.get(path, params={"colour": "red"})).status_code == 400


async def test_a_proxied_host_shows_the_edge_and_not_itself(cloud: Cloud, world: Infrastructure) -> None:
    client, path = await make_zone(cloud, "proxied.test")
    body = {"type": "A", "name": "mx", "content": "198.51.100.1", "proxied": True, "ttl": 600}
    async with client:
        record = (await client.post(path, json=body)).json()["result"]
    assert (record["content"], record["ttl"]) == ("198.51.100.1", 1)
    assert values(await ask(world, "mx.proxied.test", "A"), "A") == {str(world.addresses.v4_of(8))}


async def test_a_planted_record_is_served_and_repaired_from_the_books(
    cloud: Cloud, world: Infrastructure
) -> None:
    data = {"usage": 3, "selector": 1, "matching_type": 1, "certificate": DIGEST}
    await make_zone(cloud, "plant.test", {"type": "TLSA", "name": "_25._tcp.mx", "data": data})
    name = "_25._tcp.mx.plant.test"
    await world.tree.set_records(name, "TLSA", [f"3 1 1 {'00' * 32}"], 1)
    assert values(await ask(world, name, "TLSA"), "TLSA") == {f"3 1 1 {'00' * 32}"}
    await cloud.publisher.restore(name, "TLSA")
    assert values(await ask(world, name, "TLSA"), "TLSA") == {f"3 1 1 {DIGEST}"}
    await world.tree.set_records("stray.plant.test", "A", ["198.51.100.66"])
    await cloud.publisher.restore("stray.plant.test", "A")
    assert values(await ask(world, "stray.plant.test", "A"), "A") == set()
