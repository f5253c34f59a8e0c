"""What is sent to Cloudflare, what is made of its answers, and of its failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from services.dns.ports import (
    Batch,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderUnreachable,
    RecordWrite,
    ZoneUnknown,
)
from services.dns.providers.cloudflare import Cloudflare
from services.dns.providers.token_bucket import TokenBucket

TOKEN = "a-token-that-must-not-be-seen"


class Double:
    """A loopback for one answer per call; remembers what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)

    def account(self) -> Any:
        client = httpx.AsyncClient(
            transport=httpx.MockTransport(self), base_url="https://api.cloudflare.com/client/v4"
        )
        return Cloudflare(client)(SecretStr(TOKEN))

    def body(self, at: int = 0) -> Any:
        return json.loads(self.requests[at].content)


def ok(result: Any, **info: int) -> dict[str, Any]:
    return {"result": result, "success": True, "errors": [], "messages": [], "result_info": info or None}


def refused(status: int, *codes: int, **headers: str) -> httpx.Response:
    errors = [{"code": code, "message": f"refused {code}"} for code in codes]
    body = {"result": None, "success": False, "errors": errors, "messages": []}
    return httpx.Response(status, json=body, headers=headers)


def record(rdtype: str, content: str = "", **fields: Any) -> dict[str, Any]:
    base = {
        "id": "r1",
        "name": "Company.com",
        "type": rdtype,
        "content": content,
        "ttl": 1,
        "proxied": False,
        "comment": None,
    }
    return {**base, **fields}


async def test_the_token_goes_into_the_header_and_nowhere_else() -> None:
    double = Double(ok([]))
    await double.account().find_zone("company.com")
    request = double.requests[0]
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in str(request.url)
    assert request.url.path == "/client/v4/zones"


@pytest.mark.parametrize(
    ("write", "sent"),
    [
        (RecordWrite("h.net", "A", "51.15.0.7"), {"content": "51.15.0.7", "proxied": False}),
        (RecordWrite("d.net", "MX", "10 h.net"), {"content": "h.net", "priority": 10}),
        (RecordWrite("d.net", "TXT", 'a"b'), {"content": '"a\\"b"'}),
        (
            RecordWrite("_25._tcp.h.net", "TLSA", "3 1 1 ab"),
            {"data": {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab"}},
        ),
        (
            RecordWrite("_imap._tcp.d.net", "SRV", "0 0 0 ."),
            {"data": {"priority": 0, "weight": 0, "port": 0, "target": "."}},
        ),
        (
            RecordWrite("h.net", "CAA", '0 issue "ca.net; x=y"'),
            {"data": {"flags": 0, "tag": "issue", "value": "ca.net; x=y"}},
        ),
    ],
)
async def test_each_type_is_written_in_the_form_that_the_api_takes(
    write: RecordWrite, sent: dict[str, Any]
) -> None:
    double = Double(ok({"posts": [], "patches": [], "deletes": [], "puts": []}))
    await double.account().apply("z1", Batch(posts=(write,)))
    assert double.body()["posts"] == [{"name": write.name, "type": write.type, "ttl": 1, **sent}]


async def test_all_changes_go_in_one_call() -> None:
    double = Double(
        ok(
            {
                "deletes": [{"id": "r9"}],
                "patches": [record("TXT", '"x"')],
                "posts": [record("A", "51.15.0.7")],
            }
        )
    )
    batch = Batch(
        ("r9",),
        (("r1", RecordWrite("company.com", "TXT", "x")),),
        (RecordWrite("company.com", "A", "51.15.0.7", comment="mark"),),
    )
    written = await double.account().apply("z1", batch)
    assert len(double.requests) == 1
    assert double.requests[0].url.path == "/client/v4/zones/z1/dns_records/batch"
    assert double.body()["deletes"] == [{"id": "r9"}]
    assert double.body()["patches"][0]["id"] == "r1"
    assert "comment" not in double.body()["patches"][0]
    assert double.body()["posts"][0]["comment"] == "mark"
    assert [item.type for item in written] == ["TXT", "A"]


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        (record("TXT", "v=spf1 -all"), "v=spf1 -all"),
        (record("TXT", '"v=spf1 " "-all"'), "v=spf1 -all"),
        (record("MX", "H.net", priority=10), "10 h.net"),
        (
            record(
                "TLSA", "3 1 1 AB", data={"usage": 3, "selector": 1, "matching_type": 1, "certificate": "AB"}
            ),
            "3 1 1 ab",
        ),
        (
            record(
                "SRV",
                "1 465 h.net",
                priority=0,
                data={"priority": 0, "weight": 1, "port": 465, "target": "h.net"},
            ),
            "0 1 465 h.net",
        ),
        (
            record("CAA", '0 issue "ca.net"', data={"flags": 0, "tag": "issue", "value": "ca.net"}),
            '0 issue "ca.net"',
        ),
    ],
)
async def test_each_type_is_read_back_to_what_was_meant(shown: dict[str, Any], value: str) -> None:
    double = Double(ok([shown], page=1, total_pages=1, total_count=1))
    found = await double.account().list_records("z1")
    assert (found[0].name, found[0].value, found[0].comment) == ("company.com", value, "")


async def test_all_pages_are_read() -> None:
    pages = [
        ok([record("A", "51.15.0.7", id=f"r{n}")], page=n, total_pages=3, total_count=3) for n in (1, 2, 3)
    ]
    double = Double(*pages)
    assert [item.id for item in await double.account().list_records("z1")] == ["r1", "r2", "r3"]
    assert [request.url.params["page"] for request in double.requests] == ["1", "2", "3"]


async def test_a_listing_that_is_not_complete_is_not_believed() -> None:
    double = Double(ok([record("A", "51.15.0.7")], page=1, total_pages=1, total_count=2))
    with pytest.raises(ProviderUnreachable):
        await double.account().list_records("z1")


async def test_a_zone_of_another_name_is_not_taken() -> None:
    zones = [{"id": "z1", "name": "not-company.com", "status": "active", "name_servers": []}]
    assert await Double(ok(zones)).account().find_zone("company.com") is None


async def test_a_zone_that_is_not_delegated_is_not_active() -> None:
    zones = [{"id": "z1", "name": "company.com", "status": "pending", "name_servers": ["A.ns.net."]}]
    found = await Double(ok(zones)).account().find_zone("company.com")
    assert (found.active, found.name_servers) == (False, ("a.ns.net",))


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        (refused(400, 81058), ProviderRefused),
        (refused(400, 1004), ProviderRefused),
        (refused(404, 81044), ProviderRefused),
        (refused(404, 7003), ZoneUnknown),
        (refused(400, 6003), ProviderDenied),
        (refused(403, 10000), ProviderDenied),
        (refused(401, 1000), ProviderDenied),
        (refused(503), ProviderUnreachable),
        (refused(429, 971), ProviderUnreachable),
        (httpx.Response(502, text="<html>bad gateway</html>"), ProviderUnreachable),
        (httpx.Response(200, text="not json"), ProviderUnreachable),
        (httpx.Response(200, json={"success": False, "result": None}), ProviderUnreachable),
        (httpx.ReadTimeout("no answer"), ProviderUnreachable),
        (httpx.ConnectError("no route"), ProviderUnreachable),
    ],
)
async def test_failures_are_told_apart_by_what_can_be_done(answer: Any, raised: type[ProviderError]) -> None:
    with pytest.raises(raised) as failure:
        await Double(answer).account().apply("z1", Batch(deletes=("r1",)))
    assert type(failure.value) is raised
    assert TOKEN not in str(failure.value)


async def test_a_refusal_says_what_the_provider_said() -> None:
    chain = [{"code": 9005, "message": "bad IP"}]
    error = {"code": 1004, "message": "DNS Validation Error", "error_chain": chain}
    chained = {"result": None, "success": False, "errors": [error]}
    with pytest.raises(ProviderRefused, match="DNS Validation Error; bad IP"):
        await Double(httpx.Response(400, json=chained)).account().apply("z1", Batch(deletes=("r1",)))


async def test_a_token_is_good_only_when_it_is_active() -> None:
    assert await Double(ok({"status": "active"})).account().verify_token()
    assert not await Double(ok({"status": "disabled"})).account().verify_token()
    assert not await Double(refused(401, 1000)).account().verify_token()


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    def bucket(self, calls: int, seconds: float, burst: int) -> TokenBucket:
        return TokenBucket(calls, seconds, burst, now=self.read, sleep=self.sleep)


async def test_no_five_minutes_see_more_calls_than_the_vendor_allows() -> None:
    time = Time()
    bucket = time.bucket(1000, 300, 166)
    moments = []
    for _ in range(3000):
        await bucket.take()
        moments.append(time.now)
    assert moments[165] == 0
    for at, moment in enumerate(moments):
        assert sum(moment <= other < moment + 300 for other in moments[at : at + 1500]) <= 1200


async def test_everybody_waits_when_the_vendor_says_so() -> None:
    time = Time()
    bucket = time.bucket(10, 100, 10)
    bucket.hold(30)
    await bucket.take()
    assert time.now == pytest.approx(30)


def test_tokens_have_buckets_of_their_own() -> None:
    made: Callable[[SecretStr], Any] = Cloudflare(httpx.AsyncClient())
    one, same, other = made(SecretStr("a")), made(SecretStr("a")), made(SecretStr("b"))
    assert one._bucket is same._bucket
    assert one._bucket is not other._bucket
