"""Failures are problem documents, and a service that has lost its database says so."""

import httpx
import pytest

from shared.settings import ServiceSettings
from shared.web import build_app
from shared.web.problems import RETRY_SECONDS, problem
from tests.fixtures.identity import Trust
from tests.shared.web.notes import NOTES, key, router


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("conflict", 409, "conflict"),
        ("gone", 410, "gone"),
        ("invalid", 422, "invalid"),
        ("busy", 429, "too_many_requests"),
    ],
)
async def test_expected_failures_are_problems(
    client: httpx.AsyncClient, name: str, status: int, code: str
) -> None:
    answer = await client.get(f"/v1/failures/{name}")
    body = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["instance"] == answer.headers["X-Request-Id"]
    assert {"type", "title", "detail"} <= set(body)


async def test_a_problem_names_the_field_and_what_to_do(client: httpx.AsyncClient) -> None:
    body = (await client.get("/v1/failures/conflict")).json()
    assert body["errors"] == [{"field": "name", "detail": "taken"}]
    assert body["next_action"] == "Take another."


async def test_a_busy_answer_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/failures/busy")).headers["Retry-After"] == "7"


@pytest.mark.parametrize("status", [429, 503])
def test_also_where_nobody_said_when(status: int) -> None:
    """Whichever way the failure was made: this is the one place where problems are."""
    assert problem(status, "busy", "Busy", "Busy").headers["Retry-After"] == str(RETRY_SECONDS)
    assert problem(status, "busy", "Busy", "Busy", headers={"Retry-After": "7"}).headers["Retry-After"] == "7"
    assert "Retry-After" not in problem(409, "conflict", "Conflict", "Conflict").headers


@pytest.mark.asvs("16.5.1")
async def test_a_defect_tells_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/failures/bug")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "hunter2" not in answer.text


async def test_invalid_input_is_not_echoed(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    answer = await client.post(NOTES, headers=owner | key(), json={"text": 5, "extra": "hunter2"})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"body.text", "body.extra"}
    assert "hunter2" not in answer.text


async def test_a_wrong_method_is_a_problem_too(client: httpx.AsyncClient, owner: dict[str, str]) -> None:
    answer = await client.put(NOTES, headers=owner)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.asvs("2.3.3")
async def test_a_failed_commit_is_never_a_success(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/late")
    assert answer.status_code == 500
    assert "must not be said" not in answer.text


async def test_a_lost_database_is_503(trust: Trust) -> None:
    app = build_app("dns", trust.settings(ServiceSettings, "dns", "api"), [router])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://dns") as client:
        answer = await client.post("/v1/late")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "Retry-After" in answer.headers
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "checks": {"database": "failed"}})
        assert (await client.get("/healthz")).status_code == 200


async def test_a_ready_service_says_so_and_counts_requests(
    client: httpx.AsyncClient, owner: dict[str, str]
) -> None:
    await client.get(NOTES, headers=owner)
    assert (await client.get("/readyz")).json() == {"ready": True, "checks": {"database": "ok"}}
    metrics = (await client.get("/metrics")).text
    assert 'route="/v1/workspaces/{workspace_id}/notes"' in metrics
